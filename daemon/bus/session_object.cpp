// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1.Session (docs/dbus.md): one object a session, found by its path.
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "bus/server.h"
#include "system/files.h"

namespace handover::bus {

namespace {

constexpr std::size_t max_blob_bytes = 1U << 20U;

std::optional<std::string> name_of(const char* path) {
  char* decoded = nullptr;
  if (sd_bus_path_decode(path, session_root, &decoded) <= 0) return std::nullopt;
  std::string name = decoded;
  std::free(decoded);  // NOLINT(cppcoreguidelines-no-malloc): sd-bus allocates with malloc()
  return name;
}

const SessionRecord* record_at(Server& server, const char* path) {
  const auto name = name_of(path);
  const auto* held = name ? server.engine().sessions().find(*name) : nullptr;
  return held != nullptr ? &held->record : nullptr;
}

int find_session(sd_bus*, const char* path, const char*, void* userdata, void** found,
                 sd_bus_error*) {
  if (record_at(server_of(userdata), path) == nullptr) return 0;
  *found = userdata;
  return 1;
}

int enumerate_sessions(sd_bus*, const char*, void* userdata, char*** nodes, sd_bus_error*) {
  const auto& sessions = server_of(userdata).engine().sessions().all();
  // sd-bus frees the list and its strings with free().
  auto** list = static_cast<char**>(std::calloc(sessions.size() + 1, sizeof(char*)));  // NOLINT
  if (list == nullptr) return -ENOMEM;
  std::size_t i = 0;
  for (const auto& [name, held] : sessions) list[i++] = strdup(session_path(name).c_str());
  *nodes = list;
  return 0;
}

// ---- properties

int get_text(sd_bus*, const char* path, const char*, const char* property, sd_bus_message* reply,
             void* userdata, sd_bus_error*) {
  const auto* record = record_at(server_of(userdata), path);
  if (record == nullptr) return -ENOENT;
  const std::string_view wanted = property;
  const auto& text = wanted == "Name"      ? record->name
                     : wanted == "Backend" ? record->backend
                     : wanted == "Client"  ? record->client
                                           : record->owner.unit;
  return sd_bus_message_append(reply, "s", text.c_str());
}

int get_owner_uid(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
                  void* userdata, sd_bus_error*) {
  const auto* record = record_at(server_of(userdata), path);
  return record == nullptr ? -ENOENT : sd_bus_message_append(reply, "u", record->owner.uid);
}

int get_incoming(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
                 void* userdata, sd_bus_error*) {
  const auto* record = record_at(server_of(userdata), path);
  return record == nullptr ? -ENOENT : sd_bus_message_append(reply, "b", record->incoming ? 1 : 0);
}

int get_tokens(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
               void* userdata, sd_bus_error*) {
  server_of(userdata).engine().refresh_sessions();
  const auto* record = record_at(server_of(userdata), path);
  if (record == nullptr) return -ENOENT;
  int result = sd_bus_message_open_container(reply, 'a', "(tstbs)");
  for (const auto& token : record->tokens) {
    if (result >= 0) {
      result = sd_bus_message_append(reply, "(tstbs)", token.token, token.kind.c_str(), token.bytes,
                                     token.retrieved ? 1 : 0, backend_of(*record, token).c_str());
    }
  }
  return result < 0 ? result : sd_bus_message_close_container(reply);
}

// ---- methods: the engine checks the owner

template <typename Act>
int with_session(sd_bus_message* message, void* userdata, sd_bus_error* error, Act act) {
  auto& server = server_of(userdata);
  const auto name = name_of(sd_bus_message_get_path(message));
  if (!name) return -ENOENT;
  const auto caller = caller_of(server.link_of(message), message);
  if (!caller) return reply_error(error, caller.error());
  if (Result<void> done = act(server.engine(), *name, *caller); !done) {
    return reply_error(error, done.error());
  }
  return 1;
}

Result<void> reply_empty(sd_bus_message* message) {
  return check(sd_bus_reply_method_return(message, ""), "reply");
}

int preserve(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto act = [&](engine::Engine& engine, const std::string& name,
                       const engine::Caller& caller) -> Result<void> {
    std::uint64_t token = 0;
    int fd = -1;
    if (auto read = check(sd_bus_message_read(message, "th", &token, &fd), "arguments"); !read) {
      return read;
    }
    std::string backend;
    auto options = Options::read(message);
    if (!options) return fail(options.error());
    for (auto taken : {options->take("backend", backend), options->finish()}) {
      if (!taken) return taken;
    }
    if (auto done = engine.preserve(name, token, fd, /*blob=*/false, backend, caller); !done) {
      return done;
    }
    return reply_empty(message);
  };
  return with_session(message, userdata, error, act);
}

int preserve_blob(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto act = [&](engine::Engine& engine, const std::string& name,
                       const engine::Caller& caller) -> Result<void> {
    std::uint64_t token = 0;
    const void* data = nullptr;
    std::size_t size = 0;
    if (auto read = check(sd_bus_message_read(message, "t", &token), "token"); !read) return read;
    if (auto read = check(sd_bus_message_read_array(message, 'y', &data, &size), "data"); !read) {
      return read;
    }
    if (size > max_blob_bytes) {
      return fail(ErrorCode::invalid_argument,
                  "A blob has at most 1 MiB; preserve a memfd for more.");
    }
    const auto memfd =
        system::memfd_with("handover-blob", std::string_view(static_cast<const char*>(data), size));
    if (!memfd) return fail(memfd.error());
    if (auto done = engine.preserve(name, token, memfd->get(), /*blob=*/true, "", caller); !done) {
      return done;
    }
    return reply_empty(message);
  };
  return with_session(message, userdata, error, act);
}

int unpreserve(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto act = [&](engine::Engine& engine, const std::string& name,
                       const engine::Caller& caller) -> Result<void> {
    std::uint64_t token = 0;
    if (auto read = check(sd_bus_message_read(message, "t", &token), "token"); !read) return read;
    if (auto done = engine.unpreserve(name, token, caller); !done) return done;
    return reply_empty(message);
  };
  return with_session(message, userdata, error, act);
}

int retrieve(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto act = [&](engine::Engine& engine, const std::string& name,
                       const engine::Caller& caller) -> Result<void> {
    std::uint64_t token = 0;
    if (auto read = check(sd_bus_message_read(message, "t", &token), "token"); !read) return read;
    const auto fd = engine.retrieve(name, token, caller);
    if (!fd) return fail(fd.error());
    return check(sd_bus_reply_method_return(message, "h", fd->get()), "reply");
  };
  return with_session(message, userdata, error, act);
}

int open_tracker(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto act = [&](engine::Engine& engine, const std::string& name,
                       const engine::Caller& caller) -> Result<void> {
    const auto fd = engine.open_tracker(name, caller);
    if (!fd) return fail(fd.error());
    return check(sd_bus_reply_method_return(message, "h", fd->get()), "reply");
  };
  return with_session(message, userdata, error, act);
}

int finish(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return with_session(message, userdata, error,
                      [&](engine::Engine& engine, const std::string& name,
                          const engine::Caller& caller) -> Result<void> {
                        if (auto done = engine.finish(name, caller); !done) return done;
                        return reply_empty(message);
                      });
}

int discard(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return with_session(message, userdata, error,
                      [&](engine::Engine& engine, const std::string& name,
                          const engine::Caller& caller) -> Result<void> {
                        if (auto done = engine.discard(name, caller); !done) return done;
                        return reply_empty(message);
                      });
}

const sd_bus_vtable session_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Name", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Backend", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Client", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("OwnerUID", "u", get_owner_uid, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("OwnerUnit", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Incoming", "b", get_incoming, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Tokens", "a(tstbs)", get_tokens, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_METHOD_WITH_ARGS("Preserve", SD_BUS_ARGS("t", token, "h", descriptor, "a{sv}", options),
                            SD_BUS_NO_RESULT, preserve, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("PreserveBlob", SD_BUS_ARGS("t", token, "ay", data), SD_BUS_NO_RESULT,
                            preserve_blob, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Unpreserve", SD_BUS_ARGS("t", token), SD_BUS_NO_RESULT, unpreserve,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Retrieve", SD_BUS_ARGS("t", token), SD_BUS_RESULT("h", descriptor),
                            retrieve, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("OpenTracker", SD_BUS_NO_ARGS, SD_BUS_RESULT("h", descriptor),
                            open_tracker, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Finish", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, finish,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Discard", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, discard,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END};

}  // namespace

Result<void> add_session_objects(Server& server, Link& link) {
  sd_bus_slot* slot = nullptr;
  int result = sd_bus_add_fallback_vtable(link.bus.get(), &slot, session_root, session_interface,
                                          session_vtable, find_session, &server);
  if (result >= 0) {
    link.slots.emplace_back(slot);
    result = sd_bus_add_node_enumerator(link.bus.get(), &slot, session_root, enumerate_sessions,
                                        &server);
  }
  if (result >= 0) link.slots.emplace_back(slot);
  return check(result, "serving org.handover1.Session");
}

}  // namespace handover::bus

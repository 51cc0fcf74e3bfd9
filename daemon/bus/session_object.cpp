// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1.Session (docs/dbus.md): one object a session, found by its path.
#include <fcntl.h>

#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "bus/arguments.h"
#include "bus/method.h"
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

const SessionRecord* record_at(void* userdata, const char* path) {
  const auto name = name_of(path);
  const auto* held = name ? engine_of(userdata).sessions().find(*name) : nullptr;
  return held != nullptr ? &held->record : nullptr;
}

int find_session(sd_bus*, const char* path, const char*, void* userdata, void** found,
                 sd_bus_error*) {
  if (record_at(userdata, path) == nullptr) return 0;
  *found = userdata;
  return 1;
}

int enumerate_sessions(sd_bus*, const char*, void* userdata, char*** nodes, sd_bus_error*) {
  const auto& sessions = engine_of(userdata).sessions().all();
  // sd-bus frees the list and its strings with free().
  auto** list = static_cast<char**>(std::calloc(sessions.size() + 1, sizeof(char*)));  // NOLINT
  if (list == nullptr) return -ENOMEM;
  std::size_t i = 0;
  for (const auto& [name, held] : sessions) list[i++] = strdup(session_path(name).c_str());
  constexpr std::size_t bytes_of_node = 64;
  link_of(userdata).unread.add(bytes_of_node * sessions.size());
  *nodes = list;
  return 0;
}

// ---- properties

int get_text(sd_bus*, const char* path, const char*, const char* property, sd_bus_message* reply,
             void* userdata, sd_bus_error*) {
  const auto* record = record_at(userdata, path);
  if (record == nullptr) return -ENOENT;
  const std::string_view wanted = property;
  if (wanted == "Backend") return sd_bus_message_append(reply, "s", word_of(record->keeper));
  const auto& text = wanted == "Name"     ? record->name
                     : wanted == "Client" ? record->client
                                          : record->owner.unit;
  return sd_bus_message_append(reply, "s", text.c_str());
}

int get_owner_uid(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
                  void* userdata, sd_bus_error*) {
  const auto* record = record_at(userdata, path);
  return record == nullptr ? -ENOENT : sd_bus_message_append(reply, "u", record->owner.uid);
}

int get_incoming(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
                 void* userdata, sd_bus_error*) {
  const auto* record = record_at(userdata, path);
  return record == nullptr ? -ENOENT : sd_bus_message_append(reply, "b", record->incoming ? 1 : 0);
}

int get_tokens(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
               void* userdata, sd_bus_error*) {
  const auto* record = record_at(userdata, path);
  if (record == nullptr) return -ENOENT;
  constexpr std::size_t bytes_of_token = 56;
  link_of(userdata).unread.add(bytes_of_token * record->tokens.size());
  int result = sd_bus_message_open_container(reply, 'a', "(tstbs)");
  for (const auto& token : record->tokens) {
    if (result >= 0) {
      result =
          sd_bus_message_append(reply, "(tstbs)", token.token, word_of(token.kind), token.bytes,
                                token.retrieved ? 1 : 0, word_of(keeper_of(*record, token)));
    }
  }
  return result < 0 ? result : sd_bus_message_close_container(reply);
}

// ---- methods: the engine checks the owner

/// Of the session that the call is for; `act` gets its name before the arguments.
template <typename Arguments, typename Act>
int handle_for_session(sd_bus_message* message, void* userdata, sd_bus_error* error,
                       Result<Arguments> arguments, Act act) {
  auto name = name_of(sd_bus_message_get_path(message));
  if (!name) return -ENOENT;
  return handle(message, userdata, error, std::move(arguments),
                [&](Server& server, Arguments read, const HeldCallPtr& call) {
                  act(server.engine(), *name, std::move(read), call);
                });
}

struct Preserved {
  std::uint64_t token = 0;
  UniqueFd fd;
  std::optional<Keeper> keeper;
};

Result<Preserved> read_preserved(sd_bus_message* message) {
  Preserved preserved;
  const auto token = read_number(message, "token");
  if (!token) return fail(token.error());
  preserved.token = *token;
  int fd = -1;
  if (auto read = check(sd_bus_message_read(message, "h", &fd), "descriptor"); !read) {
    return fail(read.error());
  }
  auto options = Options::read(message);
  if (!options) return fail(options.error());
  for (const auto& taken : {options->take_keeper(preserved.keeper), options->finish()}) {
    if (!taken) return fail(taken.error());
  }
  preserved.fd = UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3));  // the message owns the other
  if (!preserved.fd) return fail_errno("duplicating a descriptor");
  return preserved;
}

int preserve(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle_for_session(message, userdata, error, read_preserved(message),
                            [](engine::Engine& engine, const std::string& session,
                               Preserved preserved, const HeldCallPtr& call) {
                              engine.preserve(session, preserved.token, std::move(preserved.fd),
                                              /*blob=*/false, preserved.keeper, call->caller(),
                                              empty_reply(call));
                            });
}

Result<Preserved> read_blob(sd_bus_message* message) {
  Preserved preserved;
  const auto token = read_number(message, "token");
  if (!token) return fail(token.error());
  preserved.token = *token;
  const void* data = nullptr;
  std::size_t size = 0;
  if (auto read = check(sd_bus_message_read_array(message, 'y', &data, &size), "data"); !read) {
    return fail(read.error());
  }
  if (size > max_blob_bytes) {
    return fail(ErrorCode::invalid_argument,
                "A blob has at most 1 MiB; preserve a memfd for more.");
  }
  auto memfd =
      system::memfd_with("handover-blob", std::string_view(static_cast<const char*>(data), size));
  if (!memfd) return fail(memfd.error());
  preserved.fd = std::move(*memfd);
  return preserved;
}

int preserve_blob(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle_for_session(message, userdata, error, read_blob(message),
                            [](engine::Engine& engine, const std::string& session, Preserved blob,
                               const HeldCallPtr& call) {
                              engine.preserve(session, blob.token, std::move(blob.fd),
                                              /*blob=*/true, std::nullopt, call->caller(),
                                              empty_reply(call));
                            });
}

int unpreserve(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle_for_session(message, userdata, error, read_number(message, "token"),
                            [](engine::Engine& engine, const std::string& session,
                               std::uint64_t token, const HeldCallPtr& call) {
                              engine.unpreserve(session, token, call->caller(), empty_reply(call));
                            });
}

int retrieve(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle_for_session(message, userdata, error, read_number(message, "token"),
                            [](engine::Engine& engine, const std::string& session,
                               std::uint64_t token, const HeldCallPtr& call) {
                              engine.retrieve(session, token, call->caller(),
                                              descriptor_reply(call));
                            });
}

int open_tracker(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle_for_session(
      message, userdata, error, no_arguments(),
      [](engine::Engine& engine, const std::string& session, NoArguments, const HeldCallPtr& call) {
        engine.open_tracker(session, call->caller(), descriptor_reply(call));
      });
}

int open_luo(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle_for_session(
      message, userdata, error, no_arguments(),
      [](engine::Engine& engine, const std::string& session, NoArguments, const HeldCallPtr& call) {
        engine.open_luo(session, call->caller(), descriptor_reply(call));
      });
}

int finish(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle_for_session(
      message, userdata, error, no_arguments(),
      [](engine::Engine& engine, const std::string& session, NoArguments, const HeldCallPtr& call) {
        engine.finish(session, call->caller(), empty_reply(call));
      });
}

int discard(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle_for_session(
      message, userdata, error, no_arguments(),
      [](engine::Engine& engine, const std::string& session, NoArguments, const HeldCallPtr& call) {
        engine.discard(session, call->caller(), empty_reply(call));
      });
}

const sd_bus_vtable session_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Name", "s", safe<get_text>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Backend", "s", safe<get_text>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Client", "s", safe<get_text>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("OwnerUID", "u", safe<get_owner_uid>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("OwnerUnit", "s", safe<get_text>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Incoming", "b", safe<get_incoming>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Tokens", "a(tstbs)", safe<get_tokens>, 0,
                    SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
    SD_BUS_METHOD_WITH_ARGS("Preserve", SD_BUS_ARGS("t", token, "h", descriptor, "a{sv}", options),
                            SD_BUS_NO_RESULT, safe<preserve>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("PreserveBlob", SD_BUS_ARGS("t", token, "ay", data), SD_BUS_NO_RESULT,
                            safe<preserve_blob>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Unpreserve", SD_BUS_ARGS("t", token), SD_BUS_NO_RESULT,
                            safe<unpreserve>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Retrieve", SD_BUS_ARGS("t", token), SD_BUS_RESULT("h", descriptor),
                            safe<retrieve>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("OpenTracker", SD_BUS_NO_ARGS, SD_BUS_RESULT("h", descriptor),
                            safe<open_tracker>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("OpenLUO", SD_BUS_NO_ARGS, SD_BUS_RESULT("h", descriptor),
                            safe<open_luo>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Finish", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, safe<finish>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Discard", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, safe<discard>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL_WITH_ARGS("TokenAdded", SD_BUS_ARGS("t", token), 0),
    SD_BUS_SIGNAL_WITH_ARGS("TokenRemoved", SD_BUS_ARGS("t", token), 0),
    SD_BUS_VTABLE_END};

}  // namespace

std::string session_path(const std::string& name) {
  char* path = nullptr;
  if (sd_bus_path_encode(session_root, name.c_str(), &path) < 0) return session_root;
  std::string result = path;
  std::free(path);  // NOLINT(cppcoreguidelines-no-malloc): sd-bus allocates with malloc()
  return result;
}

const Interface session_interface{"org.handover1.Session", session_vtable};

Result<void> add_session_objects(Link& link) {
  sd_bus_slot* slot = nullptr;
  int result =
      sd_bus_add_fallback_vtable(link.bus.get(), &slot, session_root, session_interface.name,
                                 session_interface.vtable, safe<find_session>, &link);
  if (result >= 0) {
    link.slots.emplace_back(slot);
    result = sd_bus_add_node_enumerator(link.bus.get(), &slot, session_root,
                                        safe<enumerate_sessions>, &link);
  }
  if (result >= 0) link.slots.emplace_back(slot);
  return check(result, "serving org.handover1.Session");
}

}  // namespace handover::bus

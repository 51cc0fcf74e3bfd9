// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1.Manager (docs/dbus.md).
#include <string_view>
#include <utility>

#include "bus/server.h"
#include "version.h"

namespace handover::bus {

namespace {

// ---- properties

int get_version(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
                sd_bus_error*) {
  return sd_bus_message_append(reply, "s", HANDOVER_VERSION);
}

int get_state(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void* userdata,
              sd_bus_error*) {
  const std::string state(to_string(server_of(userdata).engine().state()));
  return sd_bus_message_append(reply, "s", state.c_str());
}

int get_generation(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                   void* userdata, sd_bus_error*) {
  return sd_bus_message_append(reply, "t", server_of(userdata).engine().generation());
}

int get_backend(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                void* userdata, sd_bus_error*) {
  return sd_bus_message_append(reply, "s",
                               server_of(userdata).engine().sessions().default_backend().c_str());
}

int get_backends(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                 void* userdata, sd_bus_error*) {
  int result = sd_bus_message_open_container(reply, 'a', "s");
  for (const auto& name : server_of(userdata).engine().sessions().backend_names()) {
    if (result >= 0) result = sd_bus_message_append(reply, "s", name.c_str());
  }
  return result < 0 ? result : sd_bus_message_close_container(reply);
}

/// What the companion module says of itself; 0 and false if it is not there.
int get_module(sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply,
               void* userdata, sd_bus_error*) {
  const auto module = server_of(userdata).engine().sessions().module();
  const std::string_view wanted = property;
  if (wanted == "Module") return sd_bus_message_append(reply, "b", module ? 1 : 0);
  if (wanted == "ModuleLost") return sd_bus_message_append(reply, "u", module ? module->lost : 0U);
  const bool abi = wanted == "ModuleABI";
  return sd_bus_message_append(reply, "u", !module ? 0U : abi ? module->abi : module->format);
}

int get_emulated(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                 void* userdata, sd_bus_error*) {
  return sd_bus_message_append(reply, "b", server_of(userdata).engine().emulated() ? 1 : 0);
}

int get_current_job(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                    void* userdata, sd_bus_error*) {
  const auto& job = server_of(userdata).engine().job();
  return sd_bus_message_append(reply, "o", job ? job_path(job->id).c_str() : "/");
}

// ---- methods

constexpr const char* register_action = "org.handover1.register";
constexpr const char* update_action = "org.handover1.update";

/// Runs `act` for an allowed caller; `act` answers the message itself and returns an error if not.
template <typename Act>
int guarded(sd_bus_message* message, void* userdata, sd_bus_error* error, const char* action,
            Act act) {
  auto& server = server_of(userdata);
  const auto& link = server.link_of(message);
  const auto caller = caller_of(link, message);
  if (!caller) return reply_error(error, caller.error());
  if (action != nullptr) {
    const auto verdict = server.authority().check(link, message, *caller, action);
    if (!verdict) return reply_error(error, verdict.error());
    if (*verdict == Authority::Verdict::pending) return 1;
  }
  if (Result<void> done = act(server.engine(), *caller); !done) {
    return reply_error(error, done.error());
  }
  return 1;
}

int register_client(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto act = [&](engine::Engine& engine, const engine::Caller& caller) -> Result<void> {
    ClientRecord client;
    const auto name = read_name(message);
    if (!name) return fail(name.error());
    const char* path = nullptr;
    if (auto read = check(sd_bus_message_read(message, "o", &path), "path"); !read) return read;
    client.name = *name;
    client.path = path;
    if (auto read = check(sd_bus_message_enter_container(message, 'a', "s"), "needs"); !read) {
      return read;
    }
    for (const char* need = nullptr; sd_bus_message_read_basic(message, 's', &need) > 0;) {
      client.needs.emplace_back(need);
    }
    if (auto read = check(sd_bus_message_exit_container(message), "needs"); !read) return read;
    auto options = Options::read(message);
    if (!options) return fail(options.error());
    for (auto taken :
         {options->take("required", client.required),
          options->take("prepare-timeout-usec", client.prepare_timeout_usec),
          options->take("freeze-timeout-usec", client.freeze_timeout_usec),
          options->take("restore-timeout-usec", client.restore_timeout_usec), options->finish()}) {
      if (!taken) return taken;
    }
    const auto state = engine.register_client(std::move(client), caller);
    if (!state) return fail(state.error());
    return check(sd_bus_reply_method_return(message, "s", state->c_str()), "reply");
  };
  return guarded(message, userdata, error, register_action, act);
}

int unregister_client(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return guarded(message, userdata, error, nullptr,
                 [&](engine::Engine& engine, const engine::Caller& caller) -> Result<void> {
                   const char* name = nullptr;
                   if (auto read = check(sd_bus_message_read(message, "s", &name), "name"); !read) {
                     return read;
                   }
                   if (auto done = engine.unregister_client(name, caller); !done) return done;
                   return check(sd_bus_reply_method_return(message, ""), "reply");
                 });
}

int list_clients(sd_bus_message* message, void* userdata, sd_bus_error*) {
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_return(message, &made);
  const MessagePtr reply(made);
  if (result >= 0) result = sd_bus_message_open_container(made, 'a', "(sosuasbs)");
  for (const auto& [name, client] : server_of(userdata).engine().clients()) {
    if (result >= 0) result = sd_bus_message_open_container(made, 'r', "sosuasbs");
    if (result >= 0) {
      result = sd_bus_message_append(made, "sosu", name.c_str(), client.path.c_str(),
                                     client.bus_name.c_str(), client.owner.uid);
    }
    if (result >= 0) result = sd_bus_message_open_container(made, 'a', "s");
    for (const auto& need : client.needs) {
      if (result >= 0) result = sd_bus_message_append(made, "s", need.c_str());
    }
    if (result >= 0) result = sd_bus_message_close_container(made);
    if (result >= 0) {
      result = sd_bus_message_append(made, "bs", client.required ? 1 : 0,
                                     std::string(to_string(client.phase)).c_str());
    }
    if (result >= 0) result = sd_bus_message_close_container(made);
  }
  if (result >= 0) result = sd_bus_message_close_container(made);
  return result < 0 ? result : sd_bus_send(nullptr, made, nullptr);
}

int create_session(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto act = [&](engine::Engine& engine, const engine::Caller& caller) -> Result<void> {
    const auto name = read_name(message);
    if (!name) return fail(name.error());
    std::string backend;
    std::string client;
    auto options = Options::read(message);
    if (!options) return fail(options.error());
    for (auto taken :
         {options->take("backend", backend), options->take("client", client), options->finish()}) {
      if (!taken) return taken;
    }
    if (auto made = engine.create_session(*name, backend, client, caller); !made) return made;
    return check(sd_bus_reply_method_return(message, "o", session_path(*name).c_str()), "reply");
  };
  return guarded(message, userdata, error, register_action, act);
}

int get_session(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const char* name = nullptr;
  const int result = sd_bus_message_read(message, "s", &name);
  if (result < 0) return result;
  if (server_of(userdata).engine().sessions().find(name) == nullptr) {
    return reply_error(
        error, Error{ErrorCode::no_such_session, "There is no session '" + std::string(name) +
                                                     "'; list them with 'handoverctl sessions'."});
  }
  return sd_bus_reply_method_return(message, "o", session_path(name).c_str());
}

int list_sessions(sd_bus_message* message, void* userdata, sd_bus_error*) {
  server_of(userdata).engine().refresh_sessions();
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_return(message, &made);
  const MessagePtr reply(made);
  if (result >= 0) result = sd_bus_message_open_container(made, 'a', "(sosusbut)");
  for (const auto& [name, held] : server_of(userdata).engine().sessions().all()) {
    std::uint64_t bytes = 0;
    for (const auto& token : held.record.tokens) bytes += token.bytes;
    if (result >= 0) {
      result = sd_bus_message_append(made, "(sosusbut)", name.c_str(), session_path(name).c_str(),
                                     backends_of(held.record).c_str(), held.record.owner.uid,
                                     held.record.client.c_str(), held.record.incoming ? 1 : 0,
                                     static_cast<std::uint32_t>(held.record.tokens.size()), bytes);
    }
  }
  if (result >= 0) result = sd_bus_message_close_container(made);
  return result < 0 ? result : sd_bus_send(nullptr, made, nullptr);
}

/// What is empty would be taken for what was left out: a whole update, into another kernel than the
/// one meant.
Result<void> take_filled(Options& options, const std::string& name, std::string& into) {
  const bool given = options.has(name);
  if (auto taken = options.take(name, into); !taken) return taken;
  if (!given || !into.empty()) return {};
  return fail(ErrorCode::invalid_argument,
              "Option '" + name + "' is empty; leave it out for the default.");
}

int request(sd_bus_message* message, void* userdata, sd_bus_error* error, engine::JobType type) {
  const auto act = [&](engine::Engine& engine, const engine::Caller& caller) -> Result<void> {
    engine::UpdateOptions wanted;
    auto options = Options::read(message);
    if (!options) return fail(options.error());
    if (options->has("initrd")) wanted.initrd = "";
    for (auto taken : {take_filled(*options, "kernel", wanted.kernel),
                       wanted.initrd ? options->take("initrd", *wanted.initrd) : Result<void>{},
                       take_filled(*options, "cmdline", wanted.cmdline),
                       take_filled(*options, "mode", wanted.mode), options->finish()}) {
      if (!taken) return taken;
    }
    // Answered when preflight has passed, so that its errors are this call's errors.
    engine.request(
        type, wanted, caller,
        [held = std::shared_ptr<sd_bus_message>(sd_bus_message_ref(message), sd_bus_message_unref)](
            const Result<std::uint64_t>& job) {
          if (!job) return reply_error(held.get(), job.error());
          sd_bus_reply_method_return(held.get(), "o", job_path(*job).c_str());
        });
    return {};
  };
  return guarded(message, userdata, error, update_action, act);
}

int prepare(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return request(message, userdata, error, engine::JobType::prepare);
}

int update(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return request(message, userdata, error, engine::JobType::update);
}

int cancel(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return guarded(message, userdata, error, update_action,
                 [&](engine::Engine& engine, const engine::Caller&) -> Result<void> {
                   if (auto done = engine.cancel(); !done) return done;
                   return check(sd_bus_reply_method_return(message, ""), "reply");
                 });
}

int get_history(sd_bus_message* message, void* userdata, sd_bus_error*) {
  std::uint32_t most = 0;
  const int result = sd_bus_message_read(message, "u", &most);
  if (result < 0) return result;
  return sd_bus_reply_method_return(
      message, "s", server_of(userdata).engine().history().to_json_text(most).c_str());
}

const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("State", "s", get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Generation", "t", get_generation, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Backend", "s", get_backend, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Backends", "as", get_backends, 0, 0),
    SD_BUS_PROPERTY("Module", "b", get_module, 0, 0),
    SD_BUS_PROPERTY("ModuleABI", "u", get_module, 0, 0),
    SD_BUS_PROPERTY("ModuleFormat", "u", get_module, 0, 0),
    SD_BUS_PROPERTY("ModuleLost", "u", get_module, 0, 0),
    SD_BUS_PROPERTY("Emulated", "b", get_emulated, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("CurrentJob", "o", get_current_job, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_METHOD_WITH_ARGS("RegisterClient",
                            SD_BUS_ARGS("s", name, "o", path, "as", needs, "a{sv}", options),
                            SD_BUS_RESULT("s", state), register_client, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("UnregisterClient", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
                            unregister_client, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListClients", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosuasbs)", clients),
                            list_clients, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("CreateSession", SD_BUS_ARGS("s", name, "a{sv}", options),
                            SD_BUS_RESULT("o", session), create_session,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetSession", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", session),
                            get_session, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListSessions", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosusbut)", sessions),
                            list_sessions, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Prepare", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                            prepare, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                            update, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, cancel,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetHistory", SD_BUS_ARGS("u", most), SD_BUS_RESULT("s", json),
                            get_history, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL_WITH_ARGS("JobNew", SD_BUS_ARGS("u", id, "o", job), 0),
    SD_BUS_SIGNAL_WITH_ARGS("JobRemoved", SD_BUS_ARGS("u", id, "o", job, "s", result, "s", reason),
                            0),
    SD_BUS_SIGNAL_WITH_ARGS("ClientAdded", SD_BUS_ARGS("s", name), 0),
    SD_BUS_SIGNAL_WITH_ARGS("ClientRemoved", SD_BUS_ARGS("s", name), 0),
    SD_BUS_SIGNAL_WITH_ARGS("ClientChanged", SD_BUS_ARGS("s", name, "s", phase), 0),
    SD_BUS_SIGNAL_WITH_ARGS("SessionAdded", SD_BUS_ARGS("s", name, "o", session), 0),
    SD_BUS_SIGNAL_WITH_ARGS("SessionRemoved", SD_BUS_ARGS("s", name, "o", session), 0),
    SD_BUS_SIGNAL_WITH_ARGS("UpdateFinished",
                            SD_BUS_ARGS("s", outcome, "s", reason, "t", generation), 0),
    SD_BUS_SIGNAL_WITH_ARGS("StateLost", SD_BUS_ARGS("s", session, "s", client, "s", reason), 0),
    SD_BUS_VTABLE_END};

}  // namespace

Result<void> add_manager_object(Server& server, Link& link) {
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_add_object_vtable(link.bus.get(), &slot, manager_path,
                                              manager_interface, manager_vtable, &server);
  if (result >= 0) link.slots.emplace_back(slot);
  return check(result, "serving org.handover1.Manager");
}

}  // namespace handover::bus

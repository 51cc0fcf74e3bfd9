// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1.Manager (docs/dbus.md).
#include <string_view>
#include <utility>
#include <variant>

#include "bus/arguments.h"
#include "bus/method.h"
#include "bus/server.h"
#include "core/text.h"
#include "engine/history.h"
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
  const std::string state(to_string(engine_of(userdata).state()));
  return sd_bus_message_append(reply, "s", state.c_str());
}

int get_generation(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                   void* userdata, sd_bus_error*) {
  return sd_bus_message_append(reply, "t", engine_of(userdata).generation());
}

int get_backend(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                void* userdata, sd_bus_error*) {
  return sd_bus_message_append(reply, "s", word_of(engine_of(userdata).sessions().main_keeper()));
}

int get_backends(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                 void* userdata, sd_bus_error*) {
  int result = sd_bus_message_open_container(reply, 'a', "s");
  for (const auto& name : engine_of(userdata).sessions().keeper_names()) {
    if (result >= 0) result = sd_bus_message_append(reply, "s", name.c_str());
  }
  return result < 0 ? result : sd_bus_message_close_container(reply);
}

/// What the companion module says of itself; 0 and false if it is not there.
int get_module(sd_bus*, const char*, const char*, const char* property, sd_bus_message* reply,
               void* userdata, sd_bus_error*) {
  const auto module = engine_of(userdata).module();
  const std::string_view wanted = property;
  if (wanted == "Module") return sd_bus_message_append(reply, "b", module ? 1 : 0);
  if (wanted == "ModuleLost") return sd_bus_message_append(reply, "u", module ? module->lost : 0U);
  const bool abi = wanted == "ModuleABI";
  return sd_bus_message_append(reply, "u", !module ? 0U : abi ? module->abi : module->format);
}

int get_emulated(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                 void* userdata, sd_bus_error*) {
  return sd_bus_message_append(reply, "b", engine_of(userdata).emulated() ? 1 : 0);
}

int get_current_job(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                    void* userdata, sd_bus_error*) {
  const auto& job = engine_of(userdata).job();
  return sd_bus_message_append(reply, "o", job ? job_path(job->id).c_str() : "/");
}

int get_statistics(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply,
                   void* userdata, sd_bus_error*) {
  int result = sd_bus_message_open_container(reply, 'a', "{sv}");
  for (const auto& [name, value] : link_of(userdata).server.statistics()) {
    if (result < 0) break;
    if (const auto* number = std::get_if<std::uint64_t>(&value)) {
      result = sd_bus_message_append(reply, "{sv}", name.c_str(), "t", *number);
    } else {
      result = sd_bus_message_append(reply, "{sv}", name.c_str(), "s",
                                     std::get<std::string>(value).c_str());
    }
  }
  return result < 0 ? result : sd_bus_message_close_container(reply);
}

// ---- methods

constexpr const char* register_action = "org.handover1.register";
constexpr const char* update_action = "org.handover1.update";
constexpr const char* rehearse_action = "org.handover1.rehearse";
/// Whoever names a kernel, an initrd or a command line can have any program run as root.
constexpr const char* custom_action = "org.handover1.update-custom";

constexpr std::size_t path_limit = 4096;

constexpr std::uint64_t minute_usec = 60'000'000;
/// Prepare may have much to write; whoever waits for a frozen client stands still.
constexpr std::uint64_t longest_prepare_usec = std::uint64_t{24} * 60 * minute_usec;
constexpr std::uint64_t longest_standstill_usec = 60 * minute_usec;

Result<void> take_limit(Options& options, const std::string& name, std::uint64_t longest_usec,
                        std::uint64_t& into) {
  if (auto taken = options.take(name, into); !taken) return taken;
  if (into <= longest_usec) return {};
  return fail(ErrorCode::invalid_argument,
              "Option '" + name + "' is at most " + std::to_string(longest_usec) + " µs.");
}

Result<ClientRecord> read_client(sd_bus_message* message, std::size_t most_needs) {
  ClientRecord client;
  auto name = read_name(message);
  if (!name) return fail(name.error());
  client.name = std::move(*name);
  auto path = read_path(message, "path");
  if (!path) return fail(path.error());
  client.path = std::move(*path);
  auto needs = read_names(message, "needs", most_needs);
  if (!needs) return fail(needs.error());
  client.needs = std::move(*needs);
  auto options = Options::read(message);
  if (!options) return fail(options.error());
  for (const auto& taken :
       {options->take("required", client.required), options->take("gate", client.gate),
        take_limit(*options, "prepare-timeout-usec", longest_prepare_usec,
                   client.prepare_timeout_usec),
        take_limit(*options, "freeze-timeout-usec", longest_standstill_usec,
                   client.freeze_timeout_usec),
        take_limit(*options, "restore-timeout-usec", longest_standstill_usec,
                   client.restore_timeout_usec),
        options->finish()}) {
    if (!taken) return fail(taken.error());
  }
  return client;
}

int register_client(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  auto client = read_client(message, link_of(userdata).server.limits().needs);
  return handle(message, userdata, error, std::move(client),
                [](Server& server, const ClientRecord& record, const HeldCallPtr& call) {
                  server.authority().check(call, register_action, {}, [&server, record, call] {
                    server.engine().register_client(record, call->caller(),
                                                    [call](const Result<std::string>& state) {
                                                      if (!state)
                                                        return call->refuse(state.error());
                                                      call->answer("s", state->c_str());
                                                    });
                  });
                });
}

int unregister_client(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle(message, userdata, error, read_name(message),
                [](Server& server, const std::string& name, const HeldCallPtr& call) {
                  server.engine().unregister_client(name, call->caller(), empty_reply(call));
                });
}

/// About what a session or a client takes in a list.
constexpr std::size_t bytes_of_listed = 256;

int list_clients(sd_bus_message* message, void* userdata, sd_bus_error*) {
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_return(message, &made);
  const MessagePtr reply(made);
  if (result >= 0) result = sd_bus_message_open_container(made, 'a', "(sosuasbs)");
  const auto& engine = engine_of(userdata);
  link_of(userdata).unread.add(bytes_of_listed * engine.clients().size());
  for (const auto& [name, client] : engine.clients()) {
    const bool here = engine.is_connected(client);
    if (result >= 0) result = sd_bus_message_open_container(made, 'r', "sosuasbs");
    if (result >= 0) {
      result = sd_bus_message_append(made, "sosu", name.c_str(), client.path.c_str(),
                                     here ? client.bus_name.c_str() : "", client.owner.uid);
    }
    if (result >= 0) result = sd_bus_message_open_container(made, 'a', "s");
    for (const auto& need : client.needs) {
      if (result >= 0) result = sd_bus_message_append(made, "s", need.c_str());
    }
    if (result >= 0) result = sd_bus_message_close_container(made);
    if (result >= 0) {
      // Whom nobody waits for, and who is not here.
      const bool gone = !here && client.phase == ClientPhase::idle;
      result = sd_bus_message_append(made, "bs", client.required ? 1 : 0,
                                     gone ? "gone" : std::string(to_string(client.phase)).c_str());
    }
    if (result >= 0) result = sd_bus_message_close_container(made);
  }
  if (result >= 0) result = sd_bus_message_close_container(made);
  return result < 0 ? result : sd_bus_send(nullptr, made, nullptr);
}

struct NewSession {
  std::string name;
  std::optional<Keeper> keeper;
  std::string client;
};

Result<NewSession> read_new_session(sd_bus_message* message) {
  NewSession session;
  auto name = read_name(message);
  if (!name) return fail(name.error());
  session.name = std::move(*name);
  auto options = Options::read(message);
  if (!options) return fail(options.error());
  for (const auto& taken : {options->take_keeper(session.keeper),
                            options->take("client", session.client), options->finish()}) {
    if (!taken) return fail(taken.error());
  }
  return session;
}

int create_session(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle(message, userdata, error, read_new_session(message),
                [](Server& server, const NewSession& session, const HeldCallPtr& call) {
                  server.authority().check(call, register_action, {}, [&server, session, call] {
                    server.engine().create_session(
                        session.name, session.keeper, session.client, call->caller(),
                        [call, name = session.name](const Result<void>& made) {
                          if (!made) return call->refuse(made.error());
                          call->answer("o", session_path(name).c_str());
                        });
                  });
                });
}

int get_session(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto name = read_text(message, "name");
  if (!name) return reply_error(error, name.error());
  if (engine_of(userdata).sessions().find(*name) == nullptr) {
    return reply_error(
        error, Error{ErrorCode::no_such_session, "There is no session " + in_quotes(*name) +
                                                     "; list them with 'handoverctl sessions'."});
  }
  return sd_bus_reply_method_return(message, "o", session_path(*name).c_str());
}

/// "luo", or "luo+tracker" for a session with tokens in both.
std::string backends_of(const SessionRecord& session) {
  std::string text;
  for (const auto keeper : keepers_of(session)) {
    if (!text.empty()) text += "+";
    text += to_string(keeper);
  }
  return text;
}

int append_sessions(sd_bus_message* reply, const engine::Engine& engine) {
  int result = sd_bus_message_open_container(reply, 'a', "(sosusbut)");
  for (const auto& [name, held] : engine.sessions().all()) {
    std::uint64_t bytes = 0;
    for (const auto& token : held.record.tokens) bytes += token.bytes;
    if (result >= 0) {
      result = sd_bus_message_append(reply, "(sosusbut)", name.c_str(), session_path(name).c_str(),
                                     backends_of(held.record).c_str(), held.record.owner.uid,
                                     held.record.client.c_str(), held.record.incoming ? 1 : 0,
                                     static_cast<std::uint32_t>(held.record.tokens.size()), bytes);
    }
  }
  return result < 0 ? result : sd_bus_message_close_container(reply);
}

int list_sessions(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle(message, userdata, error, no_arguments(),
                [](Server& server, NoArguments, const HeldCallPtr& call) {
                  auto& engine = server.engine();
                  engine.refresh_sessions([&server, &engine, call] {
                    const auto bytes = bytes_of_listed * engine.sessions().all().size();
                    if (auto room = server.make_room(call->caller(), bytes); !room) {
                      return call->refuse(room.error());
                    }
                    call->answer_with([&engine](sd_bus_message* reply) {
                      return append_sessions(reply, engine);
                    });
                  });
                });
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

Result<void> take_mode(Options& options, std::optional<Mode>& into) {
  std::string word;
  if (auto taken = take_filled(options, "mode", word); !taken || word.empty()) return taken;
  into = from_string<Mode>(word);
  if (into == Mode::immediate || into == Mode::orderly) return {};
  return fail(ErrorCode::invalid_argument,
              "There is no mode " + in_quotes(word) + "; it is 'immediate' or 'orderly'.");
}

Result<void> take_allowed(Options& options, std::set<FindingId>& into) {
  std::string words;
  if (auto taken = take_filled(options, "allow", words); !taken) return taken;
  auto ids = parse_finding_ids(words);
  if (!ids) return fail(ids.error());
  into = std::move(*ids);
  return {};
}

/// A limit of 0 would forbid what is asked for.
Result<void> take_at_most(Options& options, std::uint64_t& into) {
  const bool given = options.has("at-most-usec");
  if (auto taken = take_limit(options, "at-most-usec", longest_standstill_usec, into); !taken) {
    return taken;
  }
  if (!given || into != 0) return {};
  return fail(ErrorCode::invalid_argument,
              "Option 'at-most-usec' is 0; leave it out for no limit but freeze_budget.");
}

Result<UpdateOptions> read_update_options(sd_bus_message* message, engine::JobType type) {
  UpdateOptions wanted;
  auto options = Options::read(message);
  if (!options) return fail(options.error());
  if (options->has("initrd")) wanted.initrd = "";
  for (const auto& taken :
       {take_filled(*options, "kernel", wanted.kernel),
        wanted.initrd ? options->take("initrd", *wanted.initrd) : Result<void>{},
        take_filled(*options, "cmdline", wanted.cmdline), take_mode(*options, wanted.mode),
        take_allowed(*options, wanted.allow),
        type == engine::JobType::rehearse ? take_at_most(*options, wanted.at_most_usec)
                                          : Result<void>{},
        options->finish()}) {
    if (!taken) return fail(taken.error());
  }
  return wanted;
}

/// What polkit's rules and the administrator see of what was named.
Authority::Details details_of(const UpdateOptions& wanted) {
  Authority::Details details;
  if (!wanted.kernel.empty()) details["kernel"] = wanted.kernel;
  if (wanted.initrd) details["initrd"] = *wanted.initrd;
  if (!wanted.cmdline.empty()) details["cmdline"] = wanted.cmdline;
  for (const auto id : wanted.allow) {
    auto& allowed = details["allow"];
    allowed += (allowed.empty() ? "" : ",") + std::string(to_string(id));
  }
  return details;
}

/// a(ssss): id, severity, sentence, what to do.
void answer_findings(HeldCall& call, const std::vector<Finding>& findings) {
  call.answer_with([&findings](sd_bus_message* reply) {
    int result = sd_bus_message_open_container(reply, 'a', "(ssss)");
    for (const auto& finding : findings) {
      if (result < 0) return result;
      result = sd_bus_message_append(reply, "(ssss)", std::string(to_string(finding.id)).c_str(),
                                     std::string(to_string(finding.severity)).c_str(),
                                     finding.message.c_str(), finding.advice.c_str());
    }
    return result < 0 ? result : sd_bus_message_close_container(reply);
  });
}

/// Who may see what an update would meet may begin it.
int preflight(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle(message, userdata, error, read_update_options(message, engine::JobType::update),
                [](Server& server, const UpdateOptions& wanted, const HeldCallPtr& call) {
                  const auto details = details_of(wanted);
                  const auto* action = details.empty() ? update_action : custom_action;
                  server.authority().check(call, action, details, [&server, wanted, call] {
                    server.engine().preflight(wanted,
                                              [call](const Result<std::vector<Finding>>& findings) {
                                                if (!findings)
                                                  return call->refuse(findings.error());
                                                answer_findings(*call, *findings);
                                              });
                  });
                });
}

const char* action_for(engine::JobType type, const Authority::Details& details) {
  // What is rehearsed stays prepared: whoever may update goes on into it.
  if (!details.empty()) return custom_action;
  return type == engine::JobType::rehearse ? rehearse_action : update_action;
}

int request(sd_bus_message* message, void* userdata, sd_bus_error* error, engine::JobType type) {
  return handle(message, userdata, error, read_update_options(message, type),
                [type](Server& server, const UpdateOptions& wanted, const HeldCallPtr& call) {
                  const auto details = details_of(wanted);
                  const auto* action = action_for(type, details);
                  server.authority().check(call, action, details, [&server, type, wanted, call] {
                    // Answered when preflight has passed, so that its errors are this call's
                    // errors.
                    server.engine().request(type, wanted, call->caller(),
                                            [call](const Result<std::uint64_t>& job) {
                                              if (!job) return call->refuse(job.error());
                                              call->answer("o", job_path(*job).c_str());
                                            });
                  });
                });
}

int prepare(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return request(message, userdata, error, engine::JobType::prepare);
}

int update(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return request(message, userdata, error, engine::JobType::update);
}

int rehearse(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return request(message, userdata, error, engine::JobType::rehearse);
}

int subscribe(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& link = link_of(userdata);
  link.server.signals().subscribe(link, message);
  return sd_bus_reply_method_return(message, "");
}

int unsubscribe(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& link = link_of(userdata);
  link.server.signals().unsubscribe(link, message);
  return sd_bus_reply_method_return(message, "");
}

void answer_history(Server& server, HeldCall& call, const Result<std::string>& json) {
  if (!json) return call.refuse(json.error());
  // The engine leaves out what does not fit, but for the newest.
  if (json->size() <= engine::most_history_bytes) {
    const auto room = server.make_room(call.caller(), json->size());
    return room ? call.answer("s", json->c_str()) : call.refuse(room.error());
  }
  call.refuse(Error{ErrorCode::limit_exceeded,
                    "The record of the latest update has more than 4 MiB; read history.json in the "
                    "daemon's state directory."});
}

int get_history(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  std::uint32_t most = 0;
  if (const int result = sd_bus_message_read(message, "u", &most); result < 0) return result;
  return handle(message, userdata, error, Result<std::uint32_t>(most),
                [](Server& server, std::uint32_t wanted, const HeldCallPtr& call) {
                  const auto share = server.take_history(call->caller());
                  if (!share) return call->refuse(share.error());
                  server.engine().history(wanted,
                                          [&server, call, share](const Result<std::string>& json) {
                                            (*share)->give_back();
                                            answer_history(server, *call, json);
                                          });
                });
}

/// a(sssssb): path, release, state, reason, when, running.
int append_kernels(sd_bus_message* reply, const std::vector<KernelListed>& kernels) {
  int result = sd_bus_message_open_container(reply, 'a', "(sssssb)");
  for (const auto& kernel : kernels) {
    if (result < 0) return result;
    // A path is whatever somebody named a file in /boot; D-Bus takes UTF-8 only.
    result =
        sd_bus_message_append(reply, "(sssssb)", printable(kernel.path, path_limit).c_str(),
                              printable(kernel.release).c_str(), word_of(kernel.state),
                              kernel.reason.c_str(), kernel.when.c_str(), kernel.running ? 1 : 0);
  }
  return result < 0 ? result : sd_bus_message_close_container(reply);
}

/// Reads /boot: for those who may update.
int list_kernels(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle(
      message, userdata, error, no_arguments(),
      [](Server& server, NoArguments, const HeldCallPtr& call) {
        server.authority().check(call, update_action, {}, [&server, call] {
          server.engine().list_kernels([call](const Result<std::vector<KernelListed>>& kernels) {
            if (!kernels) return call->refuse(kernels.error());
            call->answer_with(
                [&kernels](sd_bus_message* reply) { return append_kernels(reply, *kernels); });
          });
        });
      });
}

Result<std::string> read_release(sd_bus_message* message) {
  auto release = read_text(message, "release");
  if (release && release->empty()) {
    return fail(ErrorCode::invalid_argument,
                "The release is empty; 'handoverctl kernels' lists those that there are.");
  }
  return release;
}

/// As option `allow` of Update: it overrules preflight.
int allow_kernel(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle(message, userdata, error, read_release(message),
                [](Server& server, const std::string& release, const HeldCallPtr& call) {
                  const Authority::Details details = {{"kernel", printable(release)}};
                  server.authority().check(call, custom_action, details, [&server, release, call] {
                    server.engine().allow_kernel(release, call->caller(), empty_reply(call));
                  });
                });
}

const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Version", "s", safe<get_version>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("State", "s", safe<get_state>, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Generation", "t", safe<get_generation>, 0,
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Backend", "s", safe<get_backend>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Backends", "as", safe<get_backends>, 0, 0),
    SD_BUS_PROPERTY("Module", "b", safe<get_module>, 0, 0),
    SD_BUS_PROPERTY("ModuleABI", "u", safe<get_module>, 0, 0),
    SD_BUS_PROPERTY("ModuleFormat", "u", safe<get_module>, 0, 0),
    SD_BUS_PROPERTY("ModuleLost", "u", safe<get_module>, 0, 0),
    SD_BUS_PROPERTY("Emulated", "b", safe<get_emulated>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("CurrentJob", "o", safe<get_current_job>, 0,
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Statistics", "a{sv}", safe<get_statistics>, 0, 0),
    SD_BUS_METHOD_WITH_ARGS(
        "RegisterClient", SD_BUS_ARGS("s", name, "o", path, "as", needs, "a{sv}", options),
        SD_BUS_RESULT("s", state), safe<register_client>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("UnregisterClient", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
                            safe<unregister_client>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListClients", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosuasbs)", clients),
                            safe<list_clients>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("CreateSession", SD_BUS_ARGS("s", name, "a{sv}", options),
                            SD_BUS_RESULT("o", session), safe<create_session>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetSession", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", session),
                            safe<get_session>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListSessions", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosusbut)", sessions),
                            safe<list_sessions>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Preflight", SD_BUS_ARGS("a{sv}", options),
                            SD_BUS_RESULT("a(ssss)", findings), safe<preflight>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Prepare", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                            safe<prepare>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                            safe<update>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Rehearse", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                            safe<rehearse>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, safe<cancel_update>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, safe<subscribe>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Unsubscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, safe<unsubscribe>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetHistory", SD_BUS_ARGS("u", most), SD_BUS_RESULT("s", json),
                            safe<get_history>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListKernels", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssssb)", kernels),
                            safe<list_kernels>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("AllowKernel", SD_BUS_ARGS("s", release), SD_BUS_NO_RESULT,
                            safe<allow_kernel>, SD_BUS_VTABLE_UNPRIVILEGED),
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
    SD_BUS_SIGNAL_WITH_ARGS("KernelJudged",
                            SD_BUS_ARGS("s", release, "s", state, "s", reason, "t", generation), 0),
    SD_BUS_SIGNAL_WITH_ARGS("StateLost", SD_BUS_ARGS("s", session, "s", client, "s", reason), 0),
    SD_BUS_VTABLE_END};

}  // namespace

const Interface manager_interface{"org.handover1.Manager", manager_vtable};

int cancel_update(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  return handle(message, userdata, error, no_arguments(),
                [](Server& server, NoArguments, const HeldCallPtr& call) {
                  const auto& job = server.engine().job();
                  const bool rehearses = job && job->type == engine::JobType::rehearse;
                  const auto* action = rehearses ? rehearse_action : update_action;
                  server.authority().check(call, action, {}, [&server, call] {
                    server.engine().cancel(call->caller(), empty_reply(call));
                  });
                });
}

Result<void> add_manager_object(Link& link) {
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_add_object_vtable(
      link.bus.get(), &slot, manager_path, manager_interface.name, manager_interface.vtable, &link);
  if (result >= 0) link.slots.emplace_back(slot);
  return check(result, "serving org.handover1.Manager");
}

}  // namespace handover::bus

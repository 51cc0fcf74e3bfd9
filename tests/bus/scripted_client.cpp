// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scripted_client.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "host.h"
#include "memory.h"

namespace handover::test {

namespace {

constexpr const char* object_path = "/org/example/client";
constexpr std::chrono::milliseconds between_tries{5};

std::optional<Call> call_of(std::string_view member) {
  for (const auto call : {Call::prepare, Call::cancel, Call::freeze, Call::thaw, Call::restore}) {
    if (member == to_string(call)) return call;
  }
  return std::nullopt;
}

/// The daemon died under the call: the client hears of its return and does it again.
bool daemon_went(const Answer& answer) {
  constexpr std::array names = {"NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected"};
  return std::any_of(names.begin(), names.end(), [&](const char* name) {
    return answer.error == std::string("org.freedesktop.DBus.Error.") + name;
  });
}

}  // namespace

ScriptedClient::ScriptedClient(EventLoop& loop, Journal& journal, Address address, Setup setup)
    : loop_(loop),
      journal_(journal),
      address_(std::move(address)),
      setup_(std::move(setup)),
      veto_sentence_(setup_.name + " does not want to") {}

ScriptedClient::~ScriptedClient() { die(); }

void ScriptedClient::start() {
  connect();
  enroll();
}

bool ScriptedClient::started() {
  const auto ready = [this] { return registered_ && (memory_.empty() || preserved_); };
  return loop_.run_until([&] { return ready() || !complaints_.empty(); }) && ready();
}

void ScriptedClient::connect() {
  connection_ = std::make_unique<Connection>(loop_, address_);
  auto* bus = connection_->get();
  static const std::array<sd_bus_vtable, 7> vtable = {
      {SD_BUS_VTABLE_START(0),
       SD_BUS_METHOD("Prepare", "a{sv}", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("Cancel", "a{sv}", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("Freeze", "a{sv}", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("Thaw", "a{sv}", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("Restore", "a{sv}", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_VTABLE_END}};
  sd_bus_slot* slot = nullptr;
  must(sd_bus_add_object_vtable(bus, &slot, object_path, client_interface, vtable.data(), this),
       "the client's object");
  slots_.emplace_back(slot);
  if (address_.direct) {
    must(sd_bus_match_signal_async(bus, &slot, nullptr, "/org/freedesktop/DBus/Local",
                                   "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                   nullptr, this),
         "watching the connection");
  } else {
    must(sd_bus_add_match_async(bus, &slot,
                                "type='signal',sender='org.freedesktop.DBus',"
                                "member='NameOwnerChanged',arg0='org.handover1'",
                                on_owner_changed, nullptr, this),
         "watching the daemon");
  }
  slots_.emplace_back(slot);
}

void ScriptedClient::connect_again() {
  try {
    connect();
    enroll();
  } catch (const std::system_error&) {
    // The daemon's new process has not made its socket yet.
    disconnect();
    later_ = loop_.after(between_tries, [this] { connect_again(); });
  }
}

void ScriptedClient::enroll() {
  const auto append = [this](sd_bus_message* message) {
    must(sd_bus_message_append(message, "so", setup_.name.c_str(), object_path), "name");
    must(sd_bus_message_open_container(message, 'a', "s"), "needs");
    for (const auto& need : setup_.needs) {
      must(sd_bus_message_append(message, "s", need.c_str()), "a need");
    }
    must(sd_bus_message_close_container(message), "needs");
    must(sd_bus_message_open_container(message, 'a', "{sv}"), "options");
    must(sd_bus_message_append(message, "{sv}", "required", "b", setup_.required ? 1 : 0),
         "option");
    const auto limit = [message](const char* name, std::uint64_t usec) {
      if (usec != 0) must(sd_bus_message_append(message, "{sv}", name, "t", usec), name);
    };
    limit("prepare-timeout-usec", setup_.prepare_timeout_usec);
    limit("freeze-timeout-usec", setup_.freeze_timeout_usec);
    limit("restore-timeout-usec", setup_.restore_timeout_usec);
    return sd_bus_message_close_container(message);
  };
  connection_->send(manager_path, manager_interface, "RegisterClient", append,
                    [this](Answer answer) {
                      if (daemon_went(answer)) return;
                      if (answer.error == error_name("Busy")) {
                        later_ = loop_.after(between_tries, [this] { enroll(); });
                        return;
                      }
                      if (!answer.ok()) return complain("RegisterClient", answer);
                      registered_ = true;
                      states_.push_back(answer.text());
                      // To be thawed, it has it still; to be restored, it preserves it then.
                      if (states_.back() == "thawing") preserved_ = true;
                      if (states_.back() == "new") preserve_memory();
                    });
}

int ScriptedClient::on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const char* name = nullptr;
  const char* before = nullptr;
  const char* after = nullptr;
  must(sd_bus_message_read(message, "sss", &name, &before, &after), "NameOwnerChanged");
  auto& client = *static_cast<ScriptedClient*>(userdata);
  client.registered_ = false;
  client.preserved_ = false;
  if (*after != '\0' && !client.stays_away_) client.enroll();
  return 0;
}

int ScriptedClient::on_disconnected(sd_bus_message*, void* userdata, sd_bus_error*) {
  auto& client = *static_cast<ScriptedClient*>(userdata);
  client.later_ = client.loop_.after(std::chrono::milliseconds(0), [&client] {
    client.disconnect();
    client.connect_again();
  });
  return 0;
}

void ScriptedClient::disconnect() {
  registered_ = false;
  preserved_ = false;
  later_.reset();
  held_.clear();
  slots_.clear();
  connection_.reset();
}

void ScriptedClient::die() {
  disconnect();
  frozen_ = false;
  prepared_ = false;
}

void ScriptedClient::come_back() {
  stays_away_ = false;
  die();
  start();
}

// ---- being called

int ScriptedClient::on_call(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const auto call = call_of(sd_bus_message_get_member(message));
  return call ? static_cast<ScriptedClient*>(userdata)->handle(*call, message) : -EBADMSG;
}

int ScriptedClient::handle(Call call, sd_bus_message* message) {
  journal_.came(setup_.name, call);
  read_arguments(message);
  const auto behaviour = take_behaviour(call);
  hold_answer_ = behaviour == Behaviour::hold_answer;
  switch (behaviour) {
    case Behaviour::enroll_again:
      enroll();
      [[fallthrough]];
    case Behaviour::answer:
    case Behaviour::hold_answer:
      act(call, MessagePtr(sd_bus_message_ref(message)));
      break;
    case Behaviour::veto:
      veto(call, message);
      break;
    case Behaviour::hold:
      hold(call, message, false);
      break;
    case Behaviour::leave:
      later_ = loop_.after(std::chrono::milliseconds(0), [this] { die(); });
      break;
  }
  return 1;
}

ScriptedClient::Behaviour ScriptedClient::take_behaviour(Call call) {
  if (const auto once = once_.extract(call)) return once.mapped();
  const auto scripted = script_.find(call);
  return scripted == script_.end() ? Behaviour::answer : scripted->second;
}

void ScriptedClient::hold(Call call, sd_bus_message* message, bool done) {
  held_.push_back({call, MessagePtr(sd_bus_message_ref(message)), done});
}

void ScriptedClient::let_go() {
  hold_answer_ = false;
  for (auto& held : std::exchange(held_, {})) {
    if (held.done) {
      reply(held.call, held.message.get());
    } else {
      act(held.call, std::move(held.message));
    }
  }
}

void ScriptedClient::veto_held() {
  for (const auto& held : std::exchange(held_, {})) veto(held.call, held.message.get());
}

void ScriptedClient::veto(Call call, sd_bus_message* message) {
  journal_.answered(setup_.name, call);
  must(sd_bus_reply_method_errorf(message, "org.example.Error.Refused", "%s",
                                  veto_sentence_.c_str()),
       "a veto");
}

void ScriptedClient::act(Call call, MessagePtr message) {
  if (call == Call::prepare) prepared_ = true;
  if (call == Call::cancel) prepared_ = false;
  if (call == Call::thaw) {
    const auto stays = arguments_.find("stays-prepared");
    prepared_ = prepared_ && stays != arguments_.end() && stays->second == "true";
  }
  if (call == Call::freeze) frozen_ = true;
  if (call == Call::thaw) frozen_ = false;
  if (call == Call::restore) return take_memory_back(std::move(message));
  reply(call, message.get());
}

void ScriptedClient::reply(Call call, sd_bus_message* message) {
  if (hold_answer_) return hold(call, message, true);
  journal_.answered(setup_.name, call);
  must(sd_bus_reply_method_return(message, ""), "an answer");
  // Its sessions of the earlier kernel end with the answer: it can make new ones of their names.
  if (call == Call::restore && !memory_.empty()) preserve_memory();
}

void ScriptedClient::read_arguments(sd_bus_message* message) {
  arguments_.clear();
  read_properties(message, [&](const char* name, const char* type) {
    if (*type == 't') {
      std::uint64_t number = 0;
      must(sd_bus_message_read(message, type, &number), name);
      arguments_[name] = std::to_string(number);
    } else if (*type == 'b') {
      int truth = 0;
      must(sd_bus_message_read(message, type, &truth), name);
      arguments_[name] = truth != 0 ? "true" : "false";
    } else {
      const char* text = nullptr;
      must(sd_bus_message_read(message, type, &text), name);
      arguments_[name] = text;
    }
  });
}

// ---- its memory

void ScriptedClient::keep(const std::string& session, std::uint64_t token, std::uint64_t seed,
                          std::size_t bytes) {
  Memory memory;
  memory.session = session;
  memory.token = token;
  memory.fd = memory_with(seed, bytes);
  memory.checksum = checksum_of(memory.fd.get());
  memory_.push_back(std::move(memory));
}

void ScriptedClient::complain(const std::string& what, const Answer& answer) {
  complaints_.push_back(setup_.name + ": " + what + ": " + answer.error + ": " + answer.message);
}

void ScriptedClient::preserve_memory() {
  preserved_ = false;
  std::set<std::string> sessions;
  for (const auto& memory : memory_) sessions.insert(memory.session);
  for (const auto& session : sessions) {
    const auto append = with("sa{sv}", session.c_str(), 1, "client", "s", setup_.name.c_str());
    connection_->send(manager_path, manager_interface, "CreateSession", append,
                      [this](const Answer& answer) {
                        if (answer.ok() || daemon_went(answer)) return;
                        // Made before the daemon died.
                        if (answer.error == error_name("NameTaken")) return;
                        complain("CreateSession", answer);
                      });
  }
  // The daemon handles one connection's calls in their order: no need to wait for each.
  for (const auto& memory : memory_) {
    const bool last = &memory == &memory_.back();
    connection_->send(session_path(memory.session), session_interface, "Preserve",
                      with("tha{sv}", memory.token, memory.fd.get(), 0),
                      [this, last](const Answer& answer) {
                        if (daemon_went(answer)) return;
                        if (!answer.ok() && answer.error != error_name("TokenTaken")) {
                          complain("Preserve", answer);
                        }
                        if (last) preserved_ = true;
                      });
  }
}

void ScriptedClient::take_memory_back(MessagePtr restore) {
  const auto generation = std::strtoull(arguments_["generation"].c_str(), nullptr, 10);
  const auto finish = [this](sd_bus_message* message) {
    frozen_ = false;
    prepared_ = false;
    reply(Call::restore, message);
  };
  if (memory_.empty()) return finish(restore.get());
  const std::shared_ptr<sd_bus_message> message(restore.release(), sd_bus_message_unref);
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    const bool last = i + 1 == memory_.size();
    connection_->send(session_path(memory_[i].session), session_interface, "Retrieve",
                      with("t", memory_[i].token),
                      [this, i, last, generation, message, finish](const Answer& answer) {
                        if (daemon_went(answer)) return;
                        came_back(memory_[i], generation, answer);
                        if (last) finish(message.get());
                      });
  }
}

void ScriptedClient::came_back(Memory& memory, std::uint64_t generation, const Answer& answer) {
  // Restore came twice, since the daemon died in between: what it gave then need not be given
  // again.
  const bool here = memory.generation == generation;
  if (here && !answer.ok()) return;
  if (!answer.ok()) return complain("Retrieve", answer);
  int fd = -1;
  must(sd_bus_message_read(answer.reply.get(), "h", &fd), "a retrieved descriptor");
  memory.fd.reset(fcntl(fd, F_DUPFD_CLOEXEC, 3));  // the message owns the other
  memory.generation = generation;
  if (!here) ++memory.retrieved;
  if (checksum_of(memory.fd.get()) != memory.checksum) {
    complaints_.push_back(setup_.name + ": token " + std::to_string(memory.token) + " of session " +
                          memory.session + " came back with other contents");
  }
}

}  // namespace handover::test

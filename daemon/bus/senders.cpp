// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/senders.h"

#include <fcntl.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "bus/place.h"
#include "system/log.h"

namespace handover::bus {

namespace {

/// The least that a held call costs, whatever is in it.
constexpr std::size_t overhead_bytes = 1024;

const Error cannot_ask{ErrorCode::busy,
                       "The bus does not say now who sent this call; call again in a moment."};
const Error cannot_repeat{ErrorCode::busy,
                          "handoverd is short of memory and cannot handle this call; call again in "
                          "a moment."};

struct Credentials {
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> pid;
  UniqueFd pidfd;
};

/// GetConnectionCredentials (the D-Bus specification, "Message Bus Messages"). ProcessFD is there
/// from dbus-daemon 1.15.8 and dbus-broker 34 on.
Result<Credentials> read_credentials(sd_bus_message* reply) {
  Credentials found;
  int result = sd_bus_message_enter_container(reply, 'a', "{sv}");
  while (result >= 0 && (result = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
    const char* key = nullptr;
    const char* type = nullptr;
    result = sd_bus_message_read_basic(reply, 's', &key);
    if (result >= 0) result = sd_bus_message_peek_type(reply, nullptr, &type);
    if (result < 0) break;
    const std::string_view name = key;
    std::uint32_t number = 0;
    int fd = -1;
    if ((name == "UnixUserID" || name == "ProcessID") && std::string_view(type) == "u") {
      result = sd_bus_message_read(reply, "v", "u", &number);
      (name == "ProcessID" ? found.pid : found.uid) = number;
    } else if (name == "ProcessFD" && std::string_view(type) == "h") {
      result = sd_bus_message_read(reply, "v", "h", &fd);
      if (result >= 0) found.pidfd = UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    } else {
      result = sd_bus_message_skip(reply, "v");
    }
    if (result >= 0) result = sd_bus_message_exit_container(reply);
  }
  if (auto read = check(result, "the caller's credentials"); !read) return fail(read.error());
  return found;
}

Result<Place> place_behind(const Credentials& credentials) {
  if (credentials.pidfd) {
    const auto pid = pid_of(credentials.pidfd);
    return pid ? place_of(*pid, credentials.pidfd) : fail(pid.error());
  }
  if (!credentials.pid) return fail(ErrorCode::io, "the bus does not know its process");
  const auto pid = static_cast<pid_t>(*credentials.pid);
  const auto pidfd = open_pidfd(pid);
  return pidfd ? place_of(pid, *pidfd) : fail(pidfd.error());
}

Result<engine::Caller> caller_from(const std::string& name, const Credentials& credentials) {
  if (!credentials.uid) {
    return fail(ErrorCode::access_denied, "The bus does not know the user who calls.");
  }
  const auto place = place_behind(credentials);
  if (!place) {
    return fail(unknown_service(static_cast<pid_t>(credentials.pid.value_or(0)), place.error()));
  }
  engine::Caller caller;
  caller.owner = {*credentials.uid, place->unit};
  caller.connection = name;
  caller.cgroup = place->cgroup;
  return caller;
}

}  // namespace

void Senders::ask_by(sd_bus* asking) {
  asking_ = asking;
  for (auto& [name, sender] : senders_) {
    if (!sender.caller) ask(sender);
  }
}

Result<void> Senders::attach(sd_bus* bus) {
  detach();
  bus_ = bus;
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_add_filter(bus, &slot, safe<on_message>, this);
  filter_.reset(slot);
  return check(result, "watching for calls");
}

void Senders::detach() {
  filter_.reset();
  senders_.clear();
  held_calls_ = 0;
  held_bytes_ = 0;
  bus_ = nullptr;
}

int Senders::on_message(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<Senders*>(userdata);
  const char* name = sd_bus_message_get_sender(message);
  if (name == nullptr || *name != ':') return 0;
  if (sd_bus_message_is_method_call(message, nullptr, nullptr) <= 0) return 0;
  auto& sender = self.senders_[name];
  if (sender.all == nullptr) {
    sender.all = &self;
    sender.name = name;
  }
  return self.at_the_door(sender, message);
}

/// 0: its handler may have it now. 1: later, or never.
int Senders::at_the_door(Sender& sender, sd_bus_message* call) {
  if (sender.caller && sender.calls.empty()) return 0;
  if (sender.caller && sender.calls.front().call.get() == call) {
    release(sender, sender.calls.begin());
    return 0;
  }
  if (auto held = hold(sender, call); !held) {
    ++refused_;
    reply_error(call, held.error());
    return 1;
  }
  if (!sender.caller) {
    if (!sender.question) ask(sender);
  } else {
    // Those before it were given to sd-bus once more when it had read this one already.
    handle_again(sender, std::prev(sender.calls.end()));
  }
  return 1;
}

Result<void> Senders::hold(Sender& sender, sd_bus_message* call) {
  const auto content = content_bytes(call, limits_.bytes_each - overhead_bytes);
  if (!content) {
    return fail(ErrorCode::invalid_argument, "The call is longer than any that handoverd knows.");
  }
  const auto bytes = *content + overhead_bytes;
  if (sender.calls.size() >= limits_.calls_each || bytes > limits_.bytes_each - sender.bytes ||
      bytes > limits_.bytes - std::min(held_bytes_, limits_.bytes)) {
    return fail(ErrorCode::busy,
                "Too many calls wait until the bus has said who sent them. Call again in a moment, "
                "and wait for each answer.");
  }
  sender.calls.push_back({reference(call), bytes});
  sender.bytes += bytes;
  held_bytes_ += bytes;
  ++held_calls_;
  return {};
}

Senders::Calls::iterator Senders::release(Sender& sender, Calls::iterator held) {
  sender.bytes -= held->bytes;
  held_bytes_ -= held->bytes;
  --held_calls_;
  return sender.calls.erase(held);
}

/// Gives it to sd-bus once more, behind what that has read already. Returns the next one.
Senders::Calls::iterator Senders::handle_again(Sender& sender, Calls::iterator held) {
  if (sd_bus_enqueue_for_read(bus_, held->call.get()) >= 0) return std::next(held);
  reply_error(held->call.get(), cannot_repeat);
  return release(sender, held);
}

void Senders::gone(const std::string& name) {
  const auto sender = senders_.find(name);
  if (sender == senders_.end()) return;
  auto& calls = sender->second.calls;
  while (!calls.empty()) release(sender->second, calls.begin());
  senders_.erase(sender);
}

/// His next call finds out anew who he is.
void Senders::forget(const std::string& name, const Error& why) {
  const auto sender = senders_.find(name);
  if (sender == senders_.end()) return;
  for (const auto& held : sender->second.calls) reply_error(held.call.get(), why);
  gone(name);
}

void Senders::ask(Sender& sender) {
  sender.question.reset();
  if (asking_ == nullptr) return;  // until ask_by()
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_call(asking_, &made, "org.freedesktop.DBus",
                                              "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                              "GetConnectionCredentials");
  const MessagePtr question(made);
  if (result >= 0) result = sd_bus_message_append(made, "s", sender.name.c_str());
  sd_bus_slot* slot = nullptr;
  // No time limit: the driver answers, or the connection ends and the next one asks again.
  if (result >= 0) {
    result = sd_bus_call_async(asking_, &slot, made, safe<on_credentials>, &sender, UINT64_MAX);
  }
  sender.question.reset(slot);
  if (result < 0) forget(std::string(sender.name), cannot_ask);
}

int Senders::on_credentials(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& sender = *static_cast<Sender*>(userdata);
  auto& self = *sender.all;
  const std::string name = sender.name;
  if (const auto* error = sd_bus_message_get_error(reply)) {
    const std::string_view problem = error->name;
    if (problem == SD_BUS_ERROR_NO_REPLY || problem == SD_BUS_ERROR_DISCONNECTED) return 1;
    if (problem == SD_BUS_ERROR_NAME_HAS_NO_OWNER) {
      self.gone(name);
    } else {
      log::warning("The bus does not say who ", name, " is: ", error->name);
      self.forget(name, cannot_ask);
    }
    return 1;
  }
  auto credentials = read_credentials(reply);
  auto caller = credentials ? caller_from(name, *credentials) : fail(credentials.error());
  if (!caller && will_pass(caller.error())) {
    self.forget(name, cannot_ask);
  } else {
    self.known(sender, std::move(caller));
  }
  return 1;
}

void Senders::known(Sender& sender, Result<engine::Caller> caller) {
  sender.caller = std::move(caller);
  sender.question.reset();
  for (auto held = sender.calls.begin(); held != sender.calls.end();) {
    held = handle_again(sender, held);
  }
}

Result<engine::Caller> Senders::caller_of(sd_bus_message* call) const {
  const char* name = sd_bus_message_get_sender(call);
  const auto sender = name != nullptr ? senders_.find(std::string_view(name)) : senders_.end();
  if (sender == senders_.end() || !sender->second.caller) {
    return fail(ErrorCode::access_denied, "The bus does not say who calls.");
  }
  return *sender->second.caller;
}

}  // namespace handover::bus

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "observer.h"

#include <cerrno>
#include <string_view>

namespace handover::test {

namespace {

/// One value of any basic type, or "…" for a container, which is skipped.
std::string read_value(sd_bus_message* message) {
  char type = 0;
  const char* contents = nullptr;
  must(sd_bus_message_peek_type(message, &type, &contents), "a value's type");
  union {
    const char* text;
    std::uint64_t t;
    std::uint32_t u;
    int b;
  } value{};
  switch (type) {
    case 's':
    case 'o':
      must(sd_bus_message_read_basic(message, type, &value.text), "a text");
      return value.text;
    case 't':
      must(sd_bus_message_read_basic(message, type, &value.t), "a number");
      return std::to_string(value.t);
    case 'u':
      must(sd_bus_message_read_basic(message, type, &value.u), "a number");
      return std::to_string(value.u);
    case 'b':
      must(sd_bus_message_read_basic(message, type, &value.b), "a truth value");
      return value.b != 0 ? "true" : "false";
    default:
      must(sd_bus_message_skip(
               message, (std::string(1, type) + (contents != nullptr ? contents : "")).c_str()),
           "a container");
      return "…";
  }
}

}  // namespace

Observer::Observer(EventLoop& loop, const Address& address, Subscription subscription,
                   const char* rule)
    : loop_(loop), connection_(loop, address) {
  sd_bus_slot* slot = nullptr;
  if (address.direct) {
    must(
        sd_bus_add_match_async(connection_.get(), &slot, "type='signal'", on_signal, nullptr, this),
        "watching");
    slot_.reset(slot);
    // Connected is not yet accepted: what the daemon says before that goes to others only.
    const auto served = connection_.get_property(manager_path, manager_interface, "State", "s");
    must(served.ok() ? 0 : -ECONNREFUSED, "watching the daemon");
    if (subscription == Subscription::yes) {
      must(connection_.call(manager_path, manager_interface, "Subscribe").ok() ? 0 : -EACCES,
           "subscribing");
    }
    return;
  }
  must(sd_bus_add_match(connection_.get(), &slot, rule, on_signal, this), "watching");
  slot_.reset(slot);
  if (subscription == Subscription::no) return;
  must(sd_bus_add_match(connection_.get(), &slot,
                        "type='signal',sender='org.freedesktop.DBus',"
                        "member='NameOwnerChanged',arg0='org.handover1'",
                        on_owner_changed, this),
       "watching the daemon");
  owner_slot_.reset(slot);
  // Before the clients hear of a new daemon and call it.
  must(sd_bus_detach_event(connection_.get()), "detaching");
  must(sd_bus_attach_event(connection_.get(), loop.get(), SD_EVENT_PRIORITY_IMPORTANT),
       "attaching");
  subscribe();
}

int Observer::on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const char* name = nullptr;
  const char* before = nullptr;
  const char* after = nullptr;
  must(sd_bus_message_read(message, "sss", &name, &before, &after), "NameOwnerChanged");
  if (*after != '\0') static_cast<Observer*>(userdata)->subscribe();
  return 0;
}

void Observer::subscribe() {
  connection_.send(manager_path, manager_interface, "Subscribe", {}, [](const Answer&) {});
}

void Observer::unsubscribe() {
  owner_slot_.reset();
  must(connection_.call(manager_path, manager_interface, "Unsubscribe").ok() ? 0 : -EACCES,
       "unsubscribing");
}

int Observer::on_signal(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& observer = *static_cast<Observer*>(userdata);
  const std::string_view interface = sd_bus_message_get_interface(message);
  if (interface.starts_with("org.freedesktop.DBus.Local")) return 0;
  if (interface == "org.freedesktop.DBus.Properties") {
    observer.add_changes(message);
    return 0;
  }
  Signal signal{sd_bus_message_get_path(message),
                std::string(interface),
                sd_bus_message_get_member(message),
                {}};
  while (must(sd_bus_message_at_end(message, 0), "a signal") == 0) {
    signal.arguments.push_back(read_value(message));
  }
  observer.signals_.push_back(std::move(signal));
  return 0;
}

void Observer::add_changes(sd_bus_message* message) {
  const char* interface = nullptr;
  must(sd_bus_message_read(message, "s", &interface), "PropertiesChanged");
  read_properties(message, [&](const char* name, const char*) {
    signals_.push_back({sd_bus_message_get_path(message), interface, name, {read_value(message)}});
  });
  must(sd_bus_message_enter_container(message, 'a', "s"), "invalidated properties");
  for (const char* name = nullptr; sd_bus_message_read(message, "s", &name) > 0;) {
    signals_.push_back({sd_bus_message_get_path(message), interface, name, {"invalidated"}});
  }
  must(sd_bus_message_exit_container(message), "invalidated properties");
}

std::vector<Signal> Observer::all(const std::string& member) const {
  std::vector<Signal> found;
  for (const auto& signal : signals_) {
    if (signal.member == member) found.push_back(signal);
  }
  return found;
}

bool Observer::is_up_to_date() {
  // Its answer comes behind all that.
  return connection_.call(manager_path, "org.freedesktop.DBus.Peer", "Ping").ok();
}

std::optional<Signal> Observer::next(const std::string& member) {
  auto& seen = seen_[member];
  if (!loop_.run_until([&] { return all(member).size() > seen; })) return std::nullopt;
  return all(member)[seen++];
}

void Observer::clear() {
  signals_.clear();
  seen_.clear();
}

bool Observer::wait_for(const std::string& member, const std::string& first_argument) {
  return loop_.run_until([&] {
    for (const auto& signal : all(member)) {
      if (!signal.arguments.empty() && signal.arguments.front() == first_argument) return true;
    }
    return false;
  });
}

std::vector<std::string> Observer::states() const {
  std::vector<std::string> states;
  for (const auto& signal : all("State")) states.push_back(signal.arguments.front());
  return states;
}

}  // namespace handover::test

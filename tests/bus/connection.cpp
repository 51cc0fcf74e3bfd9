// SPDX-License-Identifier: LGPL-2.1-or-later
#include "connection.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

namespace handover::test {

namespace {

/// The effective user of this process for a while: what a socket's peer sees in SO_PEERCRED.
class ActingAs {
 public:
  explicit ActingAs(int uid) {
    if (uid < 0) return;
    before_ = geteuid();
    must(seteuid(static_cast<uid_t>(uid)) < 0 ? -errno : 0, "seteuid");
  }
  ~ActingAs() {
    if (before_) [[maybe_unused]]
      const int back = seteuid(*before_);
  }
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;

 private:
  std::optional<uid_t> before_;
};

const char* destination_of(const std::string& interface) {
  return interface == "org.freedesktop.DBus" ? "org.freedesktop.DBus" : bus_name;
}

/// The test decides how long it waits, not sd-bus.
constexpr std::uint64_t no_time_limit = UINT64_MAX;

Answer answer_from(sd_bus_message* reply) {
  Answer answer;
  answer.reply.reset(sd_bus_message_ref(reply));
  if (const auto* error = sd_bus_message_get_error(reply)) {
    answer.error = error->name;
    answer.message = error->message != nullptr ? error->message : "";
  }
  return answer;
}

}  // namespace

std::string Answer::text() const {
  char type = 0;
  const char* contents = nullptr;
  const char* found = nullptr;
  if (!ok() || !reply || sd_bus_message_peek_type(reply.get(), &type, &contents) <= 0) return {};
  if (type != 's' && type != 'o') return {};
  must(sd_bus_message_read_basic(reply.get(), type, &found), "reading a reply");
  return found;
}

std::string error_name(const std::string& name) { return "org.handover1.Error." + name; }

Connection::Connection(EventLoop& loop, const Address& address) : loop_(loop), address_(address) {
  sd_bus* bus = nullptr;
  must(sd_bus_new(&bus), "sd_bus_new");
  bus_.reset(bus);
  must(sd_bus_set_address(bus, address_.text.c_str()), "an address");
  if (!address_.direct) must(sd_bus_set_bus_client(bus, 1), "a bus client");
  must(sd_bus_negotiate_fds(bus, 1), "passing descriptors");
  {
    const ActingAs user(address_.uid);
    must(sd_bus_start(bus), "connecting");
  }
  must(sd_bus_attach_event(bus, loop_.get(), SD_EVENT_PRIORITY_NORMAL), "attaching");
}

std::string Connection::unique_name() const {
  const char* name = nullptr;
  if (direct()) return {};
  must(sd_bus_get_unique_name(bus_.get(), &name), "the unique name");
  return name;
}

int Connection::on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  // The callback may destroy the connection, and the call with it.
  const auto answered = std::exchange(static_cast<Call*>(userdata)->answered, nullptr);
  answered(answer_from(reply));
  return 1;
}

void Connection::send(const std::string& path, const std::string& interface,
                      const std::string& member, const Append& append, Answered answered) {
  std::erase_if(calls_, [](const auto& call) { return !call->answered; });
  sd_bus_message* made = nullptr;
  must(sd_bus_message_new_method_call(bus_.get(), &made,
                                      direct() ? nullptr : destination_of(interface), path.c_str(),
                                      interface.c_str(), member.c_str()),
       "a call");
  const MessagePtr message(made);
  if (append) must(append(made), "a call's arguments");
  auto call = std::make_unique<Call>();
  call->answered = std::move(answered);
  sd_bus_slot* slot = nullptr;
  must(sd_bus_call_async(bus_.get(), &slot, made, on_reply, call.get(), no_time_limit), "sending");
  call->slot.reset(slot);
  calls_.push_back(std::move(call));
}

Answer Connection::call(const std::string& path, const std::string& interface,
                        const std::string& member, const Append& append) {
  auto answer = std::make_shared<std::optional<Answer>>();
  send(path, interface, member, append, [answer](Answer got) { *answer = std::move(got); });
  if (!loop_.run_until([&] { return answer->has_value(); })) {
    return Answer{nullptr, "no answer", interface + "." + member + " was not answered"};
  }
  return std::move(**answer);
}

Answer Connection::ask(const std::string& path, const std::string& interface,
                       const std::string& member, const Append& append) {
  constexpr std::chrono::milliseconds pause{20};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto answer = call(path, interface, member, append);
    const bool full = answer.error == "org.freedesktop.DBus.Error.LimitsExceeded";
    if (!full || std::chrono::steady_clock::now() >= deadline) return answer;
    (void)loop_.run_until([] { return false; }, pause);
  }
}

Answer Connection::get_property(const std::string& path, const std::string& interface,
                                const std::string& property, const char* type) {
  auto answer = ask(path, "org.freedesktop.DBus.Properties", "Get",
                    with("ss", interface.c_str(), property.c_str()));
  if (answer.ok()) {
    must(sd_bus_message_enter_container(answer.reply.get(), 'v', type), "a property's type");
  }
  return answer;
}

bool on_bus(Connection& by, const std::string& unique_name) {
  const auto answer = by.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                              with("s", unique_name.c_str()));
  int known = 0;
  must(sd_bus_message_read(answer.reply.get(), "b", &known), "whether a name has an owner");
  return known != 0;
}

void read_properties(sd_bus_message* message,
                     const std::function<void(const char* name, const char* type)>& read) {
  must(sd_bus_message_enter_container(message, 'a', "{sv}"), "properties");
  while (must(sd_bus_message_enter_container(message, 'e', "sv"), "a property") > 0) {
    const char* name = nullptr;
    const char* type = nullptr;
    must(sd_bus_message_read(message, "s", &name), "a property's name");
    must(sd_bus_message_peek_type(message, nullptr, &type), "a property's type");
    must(sd_bus_message_enter_container(message, 'v', type), "a property's value");
    read(name, type);
    must(sd_bus_message_exit_container(message), "a property's value");
    must(sd_bus_message_exit_container(message), "a property");
  }
  must(sd_bus_message_exit_container(message), "properties");
}

}  // namespace handover::test

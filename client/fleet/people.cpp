// SPDX-License-Identifier: LGPL-2.1-or-later
#include "people.h"

#include <systemd/sd-bus.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <sstream>

#include "common/file.h"
#include "program.h"
#include "text.h"

namespace handover::fleet {
namespace {

constexpr std::uint64_t bus_limit_usec = 10'000'000;
constexpr const char* login = "org.freedesktop.login1";
constexpr const char* login_path = "/org/freedesktop/login1";
constexpr const char* login_manager = "org.freedesktop.login1.Manager";

using Bus = std::unique_ptr<sd_bus, client::detail::Unreferencer<&sd_bus_flush_close_unref>>;
using Message =
    std::unique_ptr<sd_bus_message, client::detail::Unreferencer<&sd_bus_message_unref>>;

/// A connection of its own: the gate's belongs to the loop's thread.
Bus open_bus() {
  sd_bus* bus = nullptr;
  if (sd_bus_open_system(&bus) < 0) return {};
  Bus owned(bus);
  sd_bus_set_method_call_timeout(bus, bus_limit_usec);
  return owned;
}

/// Nothing: there is no logind. What else is wrong is an error.
client::Result<Message> ask_login(sd_bus* bus, const char* member) {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus_message* reply = nullptr;
  const int r =
      sd_bus_call_method(bus, login, login_path, login_manager, member, &error, &reply, nullptr);
  const std::string name = error.name ? error.name : "";
  const std::string said = error.message ? error.message : "";
  sd_bus_error_free(&error);
  if (r >= 0) return Message(reply);
  for (const char* absent : {SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                             "org.freedesktop.systemd1.NoSuchUnit"}) {
    if (name == absent) return Message();
  }
  return client::Error{name,
                       "logind does not answer " + std::string(member) + ": " + one_line(said), -r};
}

bool is_person(sd_bus* bus, const char* session) {
  char* kind = nullptr;
  const int r = sd_bus_get_property_string(bus, login, session, "org.freedesktop.login1.Session",
                                           "Class", nullptr, &kind);
  const std::unique_ptr<char, decltype(&free)> owned(kind, &free);
  // One that has just ended is nobody's.
  return r >= 0 && std::string_view(kind).starts_with("user");
}

}  // namespace

std::string inhibitor_veto(const std::vector<Inhibitor>& inhibitors) {
  for (const auto& one : inhibitors) {
    // handoverd's own is that of the update that asks.
    if (one.mode != "block" || one.who == "handoverd") continue;
    std::istringstream kinds(one.what);
    for (std::string kind; std::getline(kinds, kind, ':');) {
      if (kind != "shutdown") continue;
      return "'" + one_line(one.who) + "' (process " + std::to_string(one.pid) +
             ") inhibits a shutdown: " + one_line(one.why) + "; see 'systemd-inhibit --list'.";
    }
  }
  return "";
}

client::Result<std::vector<Inhibitor>> list_inhibitors() {
  std::vector<Inhibitor> inhibitors;
  const auto bus = open_bus();
  if (!bus) return inhibitors;
  auto reply = ask_login(bus.get(), "ListInhibitors");
  if (!reply) return reply.error();
  auto* const message = reply->get();
  if (message == nullptr) return inhibitors;
  int r = sd_bus_message_enter_container(message, 'a', "(ssssuu)");
  while (r >= 0) {
    const char* what = nullptr;
    const char* who = nullptr;
    const char* why = nullptr;
    const char* mode = nullptr;
    Inhibitor one;
    r = sd_bus_message_read(message, "(ssssuu)", &what, &who, &why, &mode, &one.uid, &one.pid);
    if (r == 0) return inhibitors;
    if (r < 0) break;
    one.what = what;
    one.who = who;
    one.why = why;
    one.mode = mode;
    inhibitors.push_back(std::move(one));
  }
  return common::errno_error("Cannot read logind's inhibitors", -r);
}

client::Result<std::vector<std::string>> logged_in() {
  std::vector<std::string> users;
  const auto bus = open_bus();
  if (!bus) return users;
  auto reply = ask_login(bus.get(), "ListSessions");
  if (!reply) return reply.error();
  auto* const message = reply->get();
  if (message == nullptr) return users;
  int r = sd_bus_message_enter_container(message, 'a', "(susso)");
  while (r >= 0) {
    std::uint32_t uid = 0;
    const char* id = nullptr;
    const char* user = nullptr;
    const char* seat = nullptr;
    const char* path = nullptr;
    r = sd_bus_message_read(message, "(susso)", &id, &uid, &user, &seat, &path);
    if (r == 0) return users;
    if (r < 0) break;
    const bool new_here = std::find(users.begin(), users.end(), user) == users.end();
    if (new_here && is_person(bus.get(), path)) users.emplace_back(user);
  }
  return common::errno_error("Cannot read logind's sessions", -r);
}

client::Result<void> tell_everybody(const std::string& message, const std::atomic<bool>& given_up) {
  auto ended = run_program({"wall", "--", message}, {}, bus_limit_usec, given_up);
  if (!ended) return ended.error();
  if (ended->well) return {};
  return client::Error{"", "wall " + ended->how + ": " + one_line(ended->complaint), EIO};
}

std::string read_history() {
  constexpr std::uint32_t most = 20;
  const auto bus = open_bus();
  if (!bus) return "";
  sd_bus_message* reply = nullptr;
  if (sd_bus_call_method(bus.get(), "org.handover1", "/org/handover1", "org.handover1.Manager",
                         "GetHistory", nullptr, &reply, "u", most) < 0) {
    return "";
  }
  const Message owned(reply);
  const char* text = nullptr;
  return sd_bus_message_read(reply, "s", &text) < 0 ? "" : text;
}

}  // namespace handover::fleet

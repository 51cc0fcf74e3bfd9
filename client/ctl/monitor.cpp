// SPDX-License-Identifier: LGPL-2.1-or-later
// monitor: what the daemon says, as it says it.
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "commands.h"
#include "format.h"
#include "signals.h"

namespace handover::ctl {
namespace {

using nlohmann::json;

constexpr std::uint64_t poll_usec = 500'000;

/// The signals of org.handover1.Manager and .Session and their arguments (docs/dbus.md).
struct Known {
  std::string_view member;
  const char* types;
  std::array<const char*, 4> arguments;
};
constexpr std::array known_signals = {
    Known{"JobNew", "uo", {"id", "job"}},
    Known{"JobRemoved", "uoss", {"id", "job", "result", "reason"}},
    Known{"ClientAdded", "s", {"name"}},
    Known{"ClientRemoved", "s", {"name"}},
    Known{"ClientChanged", "ss", {"name", "phase"}},
    Known{"SessionAdded", "so", {"name", "session"}},
    Known{"SessionRemoved", "so", {"name", "session"}},
    Known{"TokenAdded", "t", {"token"}},
    Known{"TokenRemoved", "t", {"token"}},
    Known{"UpdateFinished", "sst", {"outcome", "reason", "generation"}},
    Known{"KernelJudged", "ssst", {"release", "state", "reason", "generation"}},
    Known{"StateLost", "sss", {"session", "client", "reason"}},
};

json value_of(const Value& value) {
  return std::visit([](const auto& plain) { return json(plain); }, value);
}

/// The arguments of a signal by name; empty if it is not one of ours.
json read_signal(sd_bus_message* message, const Known& known) {
  json arguments = json::object();
  for (std::size_t i = 0; known.types[i] != '\0'; ++i) {
    const char type = known.types[i];
    int r = 0;
    if (type == 'u') {
      std::uint32_t number = 0;
      r = sd_bus_message_read_basic(message, type, &number);
      arguments[known.arguments[i]] = number;
    } else if (type == 't') {
      std::uint64_t number = 0;
      r = sd_bus_message_read_basic(message, type, &number);
      arguments[known.arguments[i]] = number;
    } else {
      const char* text = "";
      r = sd_bus_message_read_basic(message, type, &text);
      if (r > 0) arguments[known.arguments[i]] = text;
    }
    if (r <= 0) return json::object();
  }
  return arguments;
}

/// A property's value on one line of JSON: plain, so that the line is flat.
json plain_value_of(const Value& value) {
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  if (!list) return value_of(value);
  std::string words;
  for (const auto& word : *list) words += (words.empty() ? "" : ",") + word;
  return words;
}

/// The name in "/org/handover1/session/NAME"; the path itself if it is no such path.
std::string session_name(const char* path) {
  char* name = nullptr;
  if (sd_bus_path_decode(path, "/org/handover1/session", &name) <= 0) return path;
  std::string result = name;
  std::free(name);  // NOLINT(cppcoreguidelines-no-malloc): sd-bus allocates with malloc()
  return result;
}

void print_event(bool as_json, const std::string& event, const json& arguments) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto usec = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  if (as_json) {
    json line = {{"realtime_usec", usec}, {"event", event}};
    line.update(arguments);
    printf("%s\n", line.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    const std::time_t seconds = usec / 1'000'000;
    std::tm local = {};
    localtime_r(&seconds, &local);
    std::array<char, 16> clock = {};
    strftime(clock.data(), clock.size(), "%H:%M:%S", &local);
    std::string text;
    for (const auto& [name, value] : arguments.items()) {
      const bool is_path = name == "job" || (name == "session" && arguments.contains("name"));
      if (is_path && arguments.size() > 1) continue;  // the id or name beside it says it shorter
      if (!text.empty()) text += "  ";
      text += name + "=" +
              (value.is_string() ? fit_text(value.get<std::string>(), 200)
                                 : value.dump(-1, ' ', false, json::error_handler_t::replace));
    }
    printf("%s.%03d  %-15s %s\n", clock.data(), static_cast<int>(usec / 1000 % 1000), event.c_str(),
           text.c_str());
  }
  fflush(stdout);
}

void print_message(bool as_json, sd_bus_message* message) {
  const std::string_view interface = sd_bus_message_get_interface(message);
  const std::string_view member = sd_bus_message_get_member(message);
  if (interface == "org.handover1.Manager" || interface == "org.handover1.Session") {
    for (const auto& known : known_signals) {
      if (known.member != member) continue;
      auto arguments = read_signal(message, known);
      // A token is one of the session that the signal comes from.
      if (interface == "org.handover1.Session") {
        arguments["session"] = session_name(sd_bus_message_get_path(message));
      }
      print_event(as_json, std::string(member), arguments);
    }
    return;
  }
  if (interface != "org.freedesktop.DBus.Properties" || member != "PropertiesChanged") return;
  const char* changed_interface = nullptr;
  Properties changed;
  if (sd_bus_message_read(message, "s", &changed_interface) < 0) return;
  if (read_properties(message, &changed) < 0 || changed.empty()) return;
  json arguments = json::object();
  for (const auto& [name, value] : changed) arguments[name] = plain_value_of(value);
  const std::string_view full = changed_interface;
  const std::string object(full.substr(full.rfind('.') + 1));
  if (as_json) {
    const std::string path = sd_bus_message_get_path(message);
    arguments["path"] = path;
    if (object == "Session") arguments["session"] = session_name(path.c_str());
    if (object == "Job") {
      arguments["id"] = std::strtoull(path.substr(path.rfind('/') + 1).c_str(), nullptr, 10);
    }
  }
  print_event(as_json, object + "Changed", arguments);
}

}  // namespace

Outcome monitor(Context context) {
  Signals signals(context.connection,
                  [&](sd_bus_message* message) { print_message(context.json, message); });
  if (auto subscribed = signals.subscribe(); !subscribed) return subscribed.error();
  catch_interrupts();
  bool connected = true;
  while (interrupts() == 0 && ferror(stdout) == 0) {
    auto back = signals.wait(poll_usec);
    if (!back) return back.error();
    const bool now_connected = context.connection.connected();
    if (connected && !now_connected) print_event(context.json, "DaemonGone", json::object());
    if (*back) {
      json arguments = json::object();
      if (auto status = Manager(context.connection).status()) {
        arguments = {{"State", status->state}, {"Generation", status->generation}};
      }
      print_event(context.json, "DaemonBack", arguments);
    }
    connected = now_connected;
  }
  return ExitCode::ok;
}

}  // namespace handover::ctl

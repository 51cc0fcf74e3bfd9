// SPDX-License-Identifier: LGPL-2.1-or-later
#include "statistics.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "format.h"

namespace handover::ctl {
namespace {

using nlohmann::json;

/// In this order; docs/dbus.md has the same list.
constexpr std::pair<std::string_view, std::string_view> known[] = {
    {"connections", "connections to the private socket"},
    {"subscribers", "programs that want all signals"},
    {"client-calls", "calls to clients"},
    {"calls-queued", "calls to clients that wait to be sent"},
    {"calls-unanswered", "calls to clients that are not answered yet"},
    {"client-late-answers", "answers of clients that came after their time limit"},
    {"thaws-owed", "clients that have not answered Thaw or Cancel yet"},
    {"thaws-repeated", "times that Thaw or Cancel was called again"},
    {"calls-held", "calls that handoverd has not answered yet"},
    {"calls-of-strangers", "calls that wait until the bus has said who sent them"},
    {"calls-refused", "calls refused, since too many waited"},
    {"questions-open", "questions to polkit that are not answered yet"},
    {"questions-refused", "calls refused, since too many waited for polkit"},
    {"charged-clients", "clients"},
    {"charged-needs", "clients that clients need"},
    {"charged-sessions", "sessions"},
    {"charged-descriptors", "descriptors preserved"},
    {"charged-bytes", "memory preserved"},
    {"accounts", "users and services that hold some of these"},
    {"owners-not-charged", "descriptors whose memory is charged to handoverd"},
    {"sessions-unreached", "sessions that cannot be reached yet"},
    {"sessions-degraded", "sessions that the kernel does not hold as a whole"},
    {"events", "events that the state machine took"},
    {"losses", "losses since the start"},
    {"fd-store-used", "descriptors in systemd's store"},
    {"fd-store-limit", "descriptors that fit into it"},
    {"manifest-bytes", "size of the manifest"},
    {"manifest-changes", "changes of the manifest"},
    {"manifest-writes", "times that changes were written"},
    {"manifest-write-usec", "time that took in all"},
    {"manifest-longest-write-usec", "time that the longest of them took"},
    {"manifest-compactions", "times that the whole manifest was written"},
    {"loop-turns", "turns of the main loop"},
    {"loop-late-turns", "turns of the main loop that took more than 20 ms"},
    {"loop-longest-turn-usec", "time that the longest turn took"},
    {"pool-busy", "threads that work"},
    {"jobs-waiting", "jobs that wait for a thread"},
    {"log-waiting", "log lines that wait"},
    {"log-dropped", "log lines dropped, since the journal did not take them"},
};

std::string value_text(const std::string& name, const Value& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) {
    const std::string_view key = name;
    const auto ends_with = [key](std::string_view ending) {
      return key.size() > ending.size() && key.substr(key.size() - ending.size()) == ending;
    };
    if (ends_with("-usec")) return format_duration(*number);
    if (ends_with("-bytes")) return format_bytes(*number);
    return std::to_string(*number);
  }
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "yes" : "no";
  return "?";
}

/// "turns-late" → "turns late".
std::string words_of(std::string name) {
  std::replace(name.begin(), name.end(), '-', ' ');
  return name;
}

}  // namespace

std::string statistics_text(const Properties& statistics, std::size_t width) {
  std::vector<std::pair<std::string, std::string>> rows;
  auto others = statistics;
  for (const auto& [name, meaning] : known) {
    const auto found = others.find(std::string(name));
    if (found == others.end()) continue;
    rows.emplace_back(value_text(found->first, found->second), meaning);
    others.erase(found);
  }
  for (const auto& [name, value] : others) {
    rows.emplace_back(value_text(name, value), words_of(name));
  }
  constexpr std::size_t widest_value = 24;
  std::size_t value_width = 0;
  for (const auto& [value, meaning] : rows) {
    value_width = std::max(value_width, std::min(text_width(value), widest_value));
  }
  std::string out;
  for (const auto& [value, meaning] : rows) {
    const auto shown = fit_text(value, widest_value);
    std::string line = "  " + std::string(value_width - text_width(shown), ' ') + shown + "  ";
    out += line + fit_text(meaning, width - text_width(line)) + "\n";
  }
  return out;
}

json statistics_json(const Properties& statistics) {
  json object = json::object();
  for (const auto& [name, value] : statistics) {
    object[name] = std::visit([](const auto& plain) { return json(plain); }, value);
  }
  return object;
}

}  // namespace handover::ctl

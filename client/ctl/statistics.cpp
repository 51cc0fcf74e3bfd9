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
  for (const auto& [name, meaning, counts] : known_statistics) {
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

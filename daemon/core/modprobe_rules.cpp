// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/modprobe_rules.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <string>

#include "core/kernel_cmdline.h"

namespace handover {

namespace {

/// "-" and "_" are the same in a module's name.
std::string module_name(std::string_view text) {
  std::string name(text);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

bool has_name(std::string_view list, const std::string& module) {
  while (!list.empty()) {
    const auto name = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), name.size() + 1));
    if (module_name(name) == module) return true;
  }
  return false;
}

bool loads_nothing(std::string_view command) {
  const auto program = command.substr(command.rfind('/') + 1);
  return program == "false" || program == "true" || program == ":";
}

}  // namespace

bool is_blocked_by_file(std::string_view text, std::string_view module) {
  const auto wanted = module_name(module);
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string command, name, argument;
    words >> command >> name >> argument;
    if (module_name(name) != wanted) continue;
    if (command == "blacklist" || (command == "install" && loads_nothing(argument))) return true;
  }
  return false;
}

std::string_view blocking_word(std::string_view cmdline, std::string_view module) {
  constexpr std::array<std::string_view, 2> names = {"module_blacklist", "modprobe.blacklist"};
  const auto wanted = module_name(module);
  for (const auto& word : parse_cmdline(cmdline).words) {
    const auto* const name = std::find(names.begin(), names.end(), word.name);
    if (name != names.end() && has_name(word.value.value_or(""), wanted)) return *name;
  }
  return {};
}

}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "argument_list.h"

#include <algorithm>
#include <array>

namespace handover::vmm {
namespace {

/// Options that take no value (qemu-options.hx); all others take the word behind them.
constexpr std::array<std::string_view, 39> plain_options{"S",
                                                         "alt-grab",
                                                         "async-teardown",
                                                         "ctrl-grab",
                                                         "curses",
                                                         "daemonize",
                                                         "enable-fips",
                                                         "enable-kvm",
                                                         "enable-sync-profile",
                                                         "full-screen",
                                                         "h",
                                                         "help",
                                                         "jitdump",
                                                         "mem-prealloc",
                                                         "no-acpi",
                                                         "no-fd-bootchk",
                                                         "no-hpet",
                                                         "no-kvm",
                                                         "no-quit",
                                                         "no-reboot",
                                                         "no-shutdown",
                                                         "no-user-config",
                                                         "nodefaults",
                                                         "nographic",
                                                         "old-param",
                                                         "one-insn-per-tb",
                                                         "only-migratable",
                                                         "perfmap",
                                                         "portrait",
                                                         "preconfig",
                                                         "s",
                                                         "semihosting",
                                                         "show-cursor",
                                                         "singlestep",
                                                         "snapshot",
                                                         "usb",
                                                         "version",
                                                         "win2k-hack",
                                                         "xen-attach"};

constexpr std::string_view without_value = "\n";  // nothing that an operator writes

/// Cuts the next word off; a doubled comma is one of the word's own.
std::string next_word(std::string_view* left) {
  std::string word;
  while (!left->empty()) {
    const char first = left->front();
    left->remove_prefix(1);
    if (first != ',') {
      word += first;
      continue;
    }
    if (left->empty() || left->front() != ',') break;
    word += first;
    left->remove_prefix(1);
  }
  return word;
}

}  // namespace

std::vector<Argument> split_arguments(const std::vector<std::string>& arguments) {
  std::vector<Argument> list;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view option = arguments[i];
    if (option.size() < 2 || option.front() != '-') {
      list.push_back({"", arguments[i]});
      continue;
    }
    option.remove_prefix(option.substr(0, 2) == "--" ? 2 : 1);
    list.push_back({std::string(option), ""});
    const bool plain =
        std::find(plain_options.begin(), plain_options.end(), option) != plain_options.end();
    if (!plain && i + 1 < arguments.size()) list.back().value = arguments[++i];
  }
  return list;
}

OptionList split_value(std::string_view value) {
  OptionList list;
  while (!value.empty()) {
    const std::string word = next_word(&value);
    const auto equals = word.find('=');
    if (equals != std::string::npos) {
      list.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    } else if (list.empty()) {
      list.emplace_back("", word);
    } else {
      list.emplace_back(word, without_value);
    }
  }
  return list;
}

std::string value_of(const OptionList& list, std::string_view name) {
  const auto found = std::find_if(list.rbegin(), list.rend(),
                                  [&](const auto& entry) { return entry.first == name; });
  return found != list.rend() && found->second != without_value ? found->second : "";
}

bool is_patient(const OptionList& list) {
  const auto says = [&](std::string_view name) {
    const auto pause = value_of(list, name);
    return !pause.empty() && pause != "0";  // 0: never
  };
  return says("reconnect") || says("reconnect-ms");
}

bool is_on(const OptionList& list, std::string_view name) {
  for (auto entry = list.rbegin(); entry != list.rend(); ++entry) {
    if (entry->first.empty() && entry->second == name) return true;
    if (entry->first != name) continue;
    for (const std::string_view yes : {"on", "yes", "true", "y"}) {
      if (entry->second == yes) return true;
    }
    return entry->second == without_value;
  }
  return false;
}

}  // namespace handover::vmm

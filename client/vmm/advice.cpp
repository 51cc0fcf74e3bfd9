// SPDX-License-Identifier: LGPL-2.1-or-later
#include "advice.h"

#include <algorithm>
#include <cctype>

#include "argument_list.h"

namespace handover::vmm {
namespace {

/// "pc-q35-10.0" ends with a version, "q35" does not.
bool has_version(const std::string& machine) {
  const auto dash = machine.rfind('-');
  if (dash == std::string::npos) return false;
  const std::string end = machine.substr(dash + 1);
  const auto dot = end.find('.');
  return dot != std::string::npos && dot > 0 && dot + 1 < end.size() &&
         std::all_of(end.begin(), end.end(),
                     [](unsigned char c) { return c == '.' || isdigit(c) != 0; });
}

/// The last one named; "" if none is.
std::string machine_of(const std::vector<Argument>& arguments) {
  std::string machine;
  for (const auto& [option, value] : arguments) {
    if (option != "machine" && option != "M") continue;
    const auto list = split_value(value);
    for (const char* name : {"", "type"}) {
      if (const auto type = value_of(list, name); !type.empty()) machine = type;
    }
  }
  return machine;
}

OptionList cpu_of(const std::vector<Argument>& arguments) {
  OptionList cpu;
  for (const auto& [option, value] : arguments) {
    if (option == "cpu") cpu = split_value(value);
  }
  return cpu;
}

}  // namespace

std::vector<std::string> advice_on(const std::vector<std::string>& arguments) {
  const auto list = split_arguments(arguments);
  std::vector<std::string> advice;
  const auto machine = machine_of(list);
  // These have no versions.
  if (machine.empty()) {
    advice.push_back(
        "No machine is named: another QEMU may have another one, and not take the guest's state. "
        "Name one with its version, as -machine pc-q35-7.2.");
  } else if (!has_version(machine) && machine != "microvm" && machine != "none") {
    advice.push_back("The machine '" + machine +
                     "' is another one in each version of QEMU, which may not take the guest's "
                     "state. Name it with its version, as pc-q35-7.2.");
  }
  const auto cpu = value_of(cpu_of(list), "");
  if (cpu == "host" || cpu == "max") {
    advice.push_back("The processor '" + cpu +
                     "' is what the kernel and QEMU offer: if the next ones offer less, the guest "
                     "is not started again. Name a model, as -cpu Skylake-Server-v4.");
  }
  return advice;
}

std::string tsc_obstacle(const std::vector<std::string>& arguments, const CpuModel& model) {
  const auto cpu = cpu_of(split_arguments(arguments));
  const bool asked = is_on(cpu, "invtsc") || std::any_of(cpu.begin(), cpu.end(), [](const auto& e) {
                       return e.first == "+invtsc";
                     });
  if (!asked && !has_invariant_tsc(model)) return "";
  for (const char* name : {"tsc-frequency", "tsc-freq"}) {
    if (!value_of(cpu, name).empty()) return "";
  }
  return "The processor has 'invtsc' without a frequency, and the next kernel may measure another "
         "one: add tsc-frequency=… to -cpu, or take invtsc out.";
}

}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/deny_lists.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <map>

#include "core/deny_list.h"
#include "core/text.h"
#include "system/small_files.h"

namespace handover::system {

void look_into_deny_lists(HostFacts& facts, const std::string& root) {
  constexpr std::array<const char*, 2> directories = {"/usr/lib/handover/kexec-deny.d/",
                                                      "/etc/handover/kexec-deny.d/"};
  std::map<std::string, std::string> paths;  // by name: what comes last is used
  for (const auto* directory : directories) {
    for (const auto& name : names_in_directory(root + directory)) {
      if (name.ends_with(".conf") && !name.starts_with('.')) paths[name] = directory + name;
    }
  }
  const auto host = text_in(root + "/sys/class/dmi/id/modalias");
  for (const auto& [name, path] : paths) {
    if (::access((root + path).c_str(), R_OK) != 0) {
      facts.deny_problems.push_back(path + " cannot be read");
      continue;
    }
    const auto list = parse_deny_list(text_in(root + path));
    for (const auto& problem : list.problems) {
      facts.deny_problems.push_back(path + ":" + std::to_string(problem.line) + ": " +
                                    problem.what);
    }
    const auto* const record = host.empty() || facts.denied ? nullptr : find_denied(list, host);
    if (record != nullptr) {
      facts.denied = DeniedHost{path + ":" + std::to_string(record->line), record->reason};
    }
  }
}

}  // namespace handover::system

// SPDX-License-Identifier: LGPL-2.1-or-later
// kernels: which of this host's kernels are good, bad or untried.
#include <algorithm>
#include <cstdio>
#include <string>

#include "commands.h"
#include "format.h"
#include "table.h"

namespace handover::ctl {
namespace {

void print_kernels(const std::vector<KernelRow>& kernels, bool titles) {
  Table table({{"RELEASE", false, true},
               {"STATE", false, false},
               {"SINCE", false, false},
               {"RUNS", false, false},
               {"IMAGE", false, true}});
  for (const auto& kernel : kernels) {
    table.add({kernel.release.empty() ? "-" : kernel.release, kernel.state,
               kernel.when.empty() ? "-" : kernel.when, kernel.running ? "yes" : "-",
               kernel.path.empty() ? "-" : kernel.path});
  }
  fputs(table.text(output_width(), titles).c_str(), stdout);
  for (const auto& kernel : kernels) {
    if (kernel.reason.empty()) continue;
    const auto text = kernel.release + " is " + kernel.state + ": " + kernel.reason;
    std::string indent;
    for (const auto& line : wrap_text(one_line(text), output_width() - 2)) {
      printf("%s%s\n", indent.c_str(), line.c_str());
      indent = "  ";
    }
  }
}

}  // namespace

Outcome show_kernels(Context context) {
  auto kernels = Manager(context.connection).kernels();
  if (!kernels) return kernels.error();
  if (!context.json) {
    print_kernels(*kernels, context.legend);
    return ExitCode::ok;
  }
  nlohmann::json document = {{"kernels", nlohmann::json::array()}};
  for (const auto& one : *kernels) {
    document["kernels"].push_back({{"path", one.path},
                                   {"release", one.release},
                                   {"state", one.state},
                                   {"reason", one.reason},
                                   {"when", one.when},
                                   {"running", one.running}});
  }
  print_json(document);
  return ExitCode::ok;
}

Outcome allow_kernel(Context context, const std::string& release) {
  if (auto allowed = Manager(context.connection).allow_kernel(release); !allowed) {
    return allowed.error();
  }
  return ExitCode::ok;
}

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
// preflight: what an update would meet.
#include <algorithm>
#include <cstdio>
#include <string>

#include "commands.h"
#include "format.h"
#include "table.h"

namespace handover::ctl {
namespace {

void print_for_people(const std::vector<FindingRow>& findings) {
  constexpr std::size_t indent = 2;
  const auto width = std::max<std::size_t>(output_width(), 40) - indent;
  for (const auto& finding : findings) {
    printf("%s: %s\n", one_line(finding.severity).c_str(), one_line(finding.id).c_str());
    const auto text =
        finding.advice.empty() ? finding.message : finding.message + "; " + finding.advice;
    for (const auto& line : wrap_text(one_line(text) + ".", width)) {
      printf("%*s%s\n", static_cast<int>(indent), "", line.c_str());
    }
  }
}

}  // namespace

Outcome show_preflight(Context context, const UpdateRequest& request) {
  auto findings = Manager(context.connection).preflight(request);
  if (!findings) return findings.error();
  const auto any = [&findings](std::string_view severity) {
    return std::any_of(findings->begin(), findings->end(),
                       [severity](const FindingRow& one) { return one.severity == severity; });
  };
  const bool error = any("error");
  const bool warning = any("warning");
  if (context.json) {
    nlohmann::json document = {{"findings", nlohmann::json::array()}};
    for (const auto& one : *findings) {
      document["findings"].push_back({{"id", one.id},
                                      {"severity", one.severity},
                                      {"message", one.message},
                                      {"advice", one.advice}});
    }
    print_json(document);
  } else {
    print_for_people(*findings);
    if (!error && !context.quiet) puts("Nothing stands in the way of an update.");
  }
  if (error) return ExitCode::update_failed;
  return warning ? ExitCode::failed : ExitCode::ok;
}

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever lies in a list of hosts that cannot kexec: records are whole, problems have their lines.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/deny_list.h"
#include "core/modprobe_rules.h"
#include "require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace handover;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  const auto list = parse_deny_list(text);
  std::size_t patterns = 0;
  for (const auto& record : list.records) {
    require(!record.patterns.empty(), "a record has a pattern");
    require(!record.reason.empty() && record.reason.find('\n') == std::string::npos,
            "and a reason of one line");
    require(record.line >= 1 && record.line <= lines, "and is in the file");
    patterns += record.patterns.size();
  }
  for (const auto& problem : list.problems) {
    require(problem.line >= 1 && problem.line <= lines, "a problem has its line");
  }
  require(patterns + list.problems.size() <= lines, "a line is one thing");
  const auto* const denied = find_denied(list, "dmi:bvnAcme:bvr1:svnAcme:pnRoadRunner1:rvnB:");
  require(denied == nullptr || !list.records.empty(), "a host is denied by a record");
  const auto word = blocking_word(text, "handover");
  require(word.empty() || text.find(word) != std::string_view::npos, "a word that blocks is there");
  require(!is_blocked_by_file(text, "handover") || text.find("handover") != std::string_view::npos,
          "a module is blocked by its name");
  return 0;
}

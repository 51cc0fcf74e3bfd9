// SPDX-License-Identifier: LGPL-2.1-or-later
// Lists of hosts that cannot kexec, in the manner of udev's hwdb (hwdb(7)): lines that a host is
// matched against, and below them indented properties.
//
//   # what is wrong with them
//   dmi:*:svnAcme*:pnRoadRunner*:*
//    REASON=its firmware does not start the disks again
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace handover {

struct DenyRecord {
  std::vector<std::string> patterns;  ///< as fnmatch(3) reads them
  std::string reason;
  std::size_t line = 0;  ///< of its first pattern, from 1
};

struct DenyList {
  std::vector<DenyRecord> records;
  struct Problem {
    std::size_t line = 0;
    std::string what;
  };
  std::vector<Problem> problems;  ///< lines that cannot be read; the rest counts
};

DenyList parse_deny_list(std::string_view text);

/// The first record that has a pattern for this host, whose name is e.g.
/// "dmi:bvnAcme:bvr1:…:pnRoadRunner:"; nullptr: there is none.
const DenyRecord* find_denied(const DenyList& list, const std::string& host);

}  // namespace handover

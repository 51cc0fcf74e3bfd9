// SPDX-License-Identifier: LGPL-2.1-or-later
// What is mounted: the text of /proc/PID/mountinfo (proc(5)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace handover {

/// One line; the views are of the text.
struct Mount {
  std::string_view id;
  std::string_view parent;
  std::string_view device;  ///< "8:1"
  std::string point;
  std::string_view type;
  std::string source;
  bool read_only = false;  ///< the file system, not only this mount of it
};

/// In their order; lines that are none are left out. `text` outlives the result.
std::vector<Mount> parse_mountinfo(std::string_view text);

}  // namespace handover

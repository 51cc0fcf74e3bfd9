// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds the hooks of a stage on the disk.
#pragma once

#include <string>
#include <vector>

#include "core/hook.h"

namespace handover::system {

/// What lies in ROOT/STAGE of each root, in their order; a directory that is not there is left out.
/// Waits for the disk.
std::vector<HookDirectory> list_hooks(const std::vector<std::string>& roots, HookStage stage);

struct SafePath {
  std::string path;  ///< without links; "" if it is not safe
  std::string why;   ///< "belongs to user 1000"; "" if it is safe
};
/// Follows the path as the kernel does, and looks at everything on the way: each directory, each
/// link, and what it leads to in the end.
SafePath safe_path(const std::string& path);

/// Why others than root, and the user that this process runs as, could change what is there: it, or
/// a directory on the way to it, is another's or is writable for others. Links are followed. "" if
/// they could not.
std::string why_unsafe(const std::string& path);

}  // namespace handover::system

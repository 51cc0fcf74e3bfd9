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

/// Why others than root, and the user that this process runs as, could change what is there: it, or
/// a directory on the way to it, is another's or is writable for others. Links are followed. "" if
/// they could not.
std::string why_unsafe(const std::string& path);

}  // namespace handover::system

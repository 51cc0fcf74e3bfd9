// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs the hooks of a stage, one after the other, with their output in the journal.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "core/hook.h"

namespace handover::system {

/// `limit_usec` is for each of them. When `stop` is set, the one that runs is ended, and no further
/// one begins. Takes as long as they do: a thread of the pool.
HookReport run_hooks(const std::vector<std::string>& roots, HookStage stage,
                     const HookContext& context, std::uint64_t limit_usec,
                     const std::atomic<bool>& stop);

/// Of all stages. Waits for the disk.
std::vector<UnsafeHook> unsafe_hooks(const std::vector<std::string>& roots);

}  // namespace handover::system

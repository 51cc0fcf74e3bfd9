// SPDX-License-Identifier: LGPL-2.1-or-later
// The hooks of stage preflight, run beside the look at the target.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/hook.h"
#include "engine/host.h"

namespace handover::engine {

/// (waits) Runs them, and puts what they say into what preflight judges.
void look_at_hooks(Host& host, LookedAt& looked, HookContext context, std::uint64_t limit_usec,
                   const std::atomic<bool>& stop);

}  // namespace handover::engine

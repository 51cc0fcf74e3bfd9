// SPDX-License-Identifier: LGPL-2.1-or-later
// Asks systemd-analyze(1) when calendar expressions elapse: libsystemd offers no such function.
//
// Threads: any; it blocks.
#pragma once

#include <atomic>
#include <cstdint>
#include <handover/handover.hpp>

#include "config.h"
#include "window.h"

namespace handover::fleet {

/// Whether a window is open at `now` (CLOCK_REALTIME).
client::Result<WindowState> look_at(const Windows& windows, std::uint64_t now,
                                    const std::atomic<bool>& given_up);

/// A wrong expression's error is EINVAL, and says what systemd-analyze says of it.
client::Result<void> check_calendar(const Window& window, const std::atomic<bool>& given_up);

}  // namespace handover::fleet

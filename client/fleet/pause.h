// SPDX-License-Identifier: LGPL-2.1-or-later
// Waiting that can be given up, and the clocks.
#pragma once

#include <atomic>
#include <cstdint>

namespace handover::fleet {

inline constexpr std::uint64_t usec_per_second = 1'000'000;

/// CLOCK_MONOTONIC, in microseconds.
std::uint64_t now_usec();
/// CLOCK_REALTIME, in microseconds.
std::uint64_t wall_clock_usec();

/// Returns early, within 50 ms, when `given_up` becomes true. False then.
bool pause(std::uint64_t usec, const std::atomic<bool>& given_up);

}  // namespace handover::fleet

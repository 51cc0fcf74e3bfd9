// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pause.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "common/loop.h"

namespace handover::fleet {

std::uint64_t now_usec() { return common::now_usec(); }

std::uint64_t wall_clock_usec() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(since).count());
}

bool pause(std::uint64_t usec, const std::atomic<bool>& given_up) {
  constexpr std::uint64_t look_usec = 50'000;
  const auto until = now_usec() + usec;
  for (auto now = now_usec(); now < until && !given_up; now = now_usec()) {
    std::this_thread::sleep_for(std::chrono::microseconds(std::min(look_usec, until - now)));
  }
  return !given_up;
}

}  // namespace handover::fleet

// SPDX-License-Identifier: LGPL-2.1-or-later
// Until when an answer to a call that is sent now is waited for.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <ctime>

namespace handover::client {

class CallLimit {
 public:
  /// As the bus is set. Made before the call is sent.
  explicit CallLimit(sd_bus* bus) {
    std::uint64_t limit = 0;
    if (sd_bus_get_method_call_timeout(bus, &limit) < 0) return;
    const auto now = now_usec();
    if (limit < UINT64_MAX - now) end_usec_ = now + limit;
  }

  [[nodiscard]] bool is_over() const { return now_usec() >= end_usec_; }

 private:
  static std::uint64_t now_usec() {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1000;
  }

  std::uint64_t end_usec_ = UINT64_MAX;
};

}  // namespace handover::client

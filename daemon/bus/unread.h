// SPDX-License-Identifier: LGPL-2.1-or-later
// How much of what was sent on a connection still waits for the other side to read: sd-bus counts
// messages, and one answer may be as large as ten thousand others.
#pragma once

#include <systemd/sd-bus.h>

#include <cstddef>
#include <cstdint>

namespace handover::bus {

class Unread {
 public:
  explicit Unread(sd_bus* bus) : bus_(bus) {}

  /// Those that wait in sd-bus, beside what the socket holds.
  [[nodiscard]] std::uint64_t messages() const {
    std::uint64_t count = 0;
    return sd_bus_get_n_queued_write(bus_, &count) < 0 ? 0 : count;
  }
  /// Of large answers, since the last time that all was read; at least what waits now.
  [[nodiscard]] std::size_t bytes() {
    if (messages() == 0) bytes_ = 0;
    return bytes_;
  }
  /// An answer of about so many bytes is being sent.
  void add(std::size_t bytes) { bytes_ = this->bytes() + bytes; }

 private:
  sd_bus* bus_;
  std::size_t bytes_ = 0;
};

}  // namespace handover::bus

// SPDX-License-Identifier: LGPL-2.1-or-later
// Sets a guest's clock through its agent (qemu-ga), which it may not have: nobody waits for it.
#pragma once

#include <systemd/sd-event.h>

#include <handover/handover.hpp>
#include <string>

#include "common/loop.h"

namespace handover::vmm {

/// The line that asks the agent to set the clock to that time, in nanoseconds since 1970.
std::string set_time_command(std::uint64_t nsec);
/// What is wrong about the agent's answer; "" for a good one.
std::string fault_of(const std::string& answer);

class GuestClock {
 public:
  GuestClock() = default;
  GuestClock(const GuestClock&) = delete;
  GuestClock& operator=(const GuestClock&) = delete;

  /// Before all else. The loop outlives this.
  client::Result<void> attach(sd_event* event);
  /// Asks the agent at that socket, from the loop, and says how it went.
  void set(const std::string& path);

 private:
  client::Result<void> ask(const std::string& path);
  void on_readable();
  void end(const std::string& fault);

  sd_event* event_ = nullptr;
  client::Fd socket_;
  std::string input_;
  common::Source source_;
  common::Timer timer_;
};

}  // namespace handover::vmm

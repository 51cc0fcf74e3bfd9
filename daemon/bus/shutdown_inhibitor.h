// SPDX-License-Identifier: LGPL-2.1-or-later
// Our own lock of logind's on shutdown and sleep, while an update runs. PID 1 does not ask logind
// when it starts kexec.target, so that the lock is not in the way of an orderly update of ours.
#pragma once

#include "bus/sd_bus.h"
#include "core/unique_fd.h"

namespace handover::bus {

class ShutdownInhibitor {
 public:
  ShutdownInhibitor() = default;
  ShutdownInhibitor(const ShutdownInhibitor&) = delete;
  ShutdownInhibitor& operator=(const ShutdownInhibitor&) = delete;
  ~ShutdownInhibitor() = default;

  /// Asks logind for the lock, and waits for nothing. Without a bus (nullptr, or not connected
  /// yet), or logind, nothing happens. A second call does nothing.
  void take(sd_bus* bus);
  /// Lets go of it, also if it has only been asked for.
  void release();
  [[nodiscard]] bool is_held() const { return static_cast<bool>(lock_); }

 private:
  static int on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*);

  SlotPtr call_;
  UniqueFd lock_;
};

}  // namespace handover::bus

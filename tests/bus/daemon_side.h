// SPDX-License-Identifier: LGPL-2.1-or-later
// A part of the daemon inside the test's process: its own loop and its connection to a private bus.
#pragma once

#include <functional>

#include "bus/sd_bus.h"
#include "connection.h"
#include "event_loop.h"
#include "private_bus.h"
#include "support/temporary_directory.h"
#include "system/loop.h"

namespace handover::test {

class DaemonSide {
 public:
  DaemonSide() : DaemonSide(PrivateBus::Limits()) {}
  explicit DaemonSide(const PrivateBus::Limits& limits) : bus_(outer_, directory_, limits) {}

  /// Of the fixtures; the daemon's part hangs on loop().
  EventLoop& outer() { return outer_; }
  system::Loop& loop() { return loop_; }
  PrivateBus& bus() { return bus_; }
  [[nodiscard]] Address address() const { return {bus_.address()}; }

  /// A new connection as the daemon makes its own.
  bus::BusPtr connect();
  /// Runs both loops.
  [[nodiscard]] bool run_until(const std::function<bool()>& done,
                               std::chrono::milliseconds limit = patience);

 private:
  EventLoop outer_;
  TemporaryDirectory directory_;
  PrivateBus bus_;
  system::Loop loop_;
};

}  // namespace handover::test

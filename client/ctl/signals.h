// SPDX-License-Identifier: LGPL-2.1-or-later
// Listening to the daemon's signals over its restarts.
#pragma once

#include <cstdint>
#include <functional>
#include <handover/handover.hpp>
#include <vector>

#include "bus.h"

namespace handover::ctl {

/// Calls back for every signal of the daemon's, and when it is back after it was gone.
class Signals {
 public:
  using Handler = std::function<void(sd_bus_message*)>;
  /// Signals tell of each change; so often a caller of wait() looks for a daemon that came back.
  static constexpr std::uint64_t poll_usec = 250'000;

  Signals(client::Connection& connection, Handler handler)
      : connection_(connection), handler_(std::move(handler)) {}
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Asks the daemon for all its signals, also for those that it sends to subscribers only; each
  /// later daemon is asked again.
  client::Result<void> subscribe();
  /// Waits for up to so long and dispatches. 1 if the daemon is another one since the last wait():
  /// what was asked of the earlier one may be answered nowhere.
  client::Result<bool> wait(std::uint64_t timeout_usec);

 private:
  static int on_signal(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error* error);
  int ask_daemon();

  client::Connection& connection_;
  Handler handler_;
  bool back_ = false;
  sd_bus* bus_ = nullptr;  ///< kept alive by the slots
  Slot signal_slot_, owner_slot_;
};

/// SIGINT and SIGTERM ask to stop in good order from here on. How often they came.
void catch_interrupts();
int interrupts();

}  // namespace handover::ctl

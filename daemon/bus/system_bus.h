// SPDX-License-Identifier: LGPL-2.1-or-later
// One connection to the system bus, made as soon as the bus is there and again whenever it is lost.
#pragma once

#include <functional>

#include "bus/sd_bus.h"
#include "system/loop.h"

namespace handover::bus {

class SystemBus {
 public:
  /// `made`: there is a new connection; what is sent on it waits until the bus is there. After an
  /// error it is given up. `lost`: it is over, and get() has it for the last time. Neither runs in
  /// a callback of the connection.
  struct Told {
    std::function<Result<void>(sd_bus*)> made;
    std::function<void()> lost;
  };

  SystemBus(system::Loop& loop, Told told) : loop_(loop), told_(std::move(told)) {}
  SystemBus(const SystemBus&) = delete;
  SystemBus& operator=(const SystemBus&) = delete;

  /// Once; from then on it is tried for ever.
  void connect();
  /// False: $DBUS_SYSTEM_BUS_ADDRESS names another one, as in tests.
  static bool is_the_hosts();

  /// nullptr between two connections.
  [[nodiscard]] sd_bus* get() const { return bus_.get(); }

 private:
  static int on_disconnected(sd_bus_message* message, void* userdata, sd_bus_error*);
  Result<void> make();
  void end();

  system::Loop& loop_;
  Told told_;
  BusPtr bus_;
  bool usable_ = false;  ///< `made` was told
  SlotPtr disconnected_;
  system::Timer again_;
};

}  // namespace handover::bus

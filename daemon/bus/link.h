// SPDX-License-Identifier: LGPL-2.1-or-later
// A connection on which org.handover1 is served: the system bus, or one peer of the private socket.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bus/call_queue.h"
#include "bus/sd_bus.h"
#include "engine/engine.h"

namespace handover::bus {

struct Link {
  std::unique_ptr<CallQueue> calls;
  BusPtr bus;
  std::vector<SlotPtr> slots;  ///< vtables and matches, gone before the bus
  std::string id;              ///< "system", or "direct-N"
  bool direct = false;

  explicit Link(system::Loop& loop) : calls(std::make_unique<CallQueue>(loop)) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { slots.clear(); }
};

/// Who sent `message`: uid from the bus driver or SO_PEERCRED, the service from the process's
/// cgroup. access_denied if it cannot be found out.
Result<engine::Caller> caller_of(const Link& link, sd_bus_message* message);

}  // namespace handover::bus

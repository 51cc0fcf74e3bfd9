// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/pid_one_socket.h"

namespace handover::bus {

Result<BusPtr> connect_to_pid_one(system::Loop& loop, const std::string& path) {
  sd_bus* made = nullptr;
  int result = sd_bus_new(&made);
  BusPtr bus(made);
  if (result >= 0) result = sd_bus_set_address(made, ("unix:path=" + path).c_str());
  if (result >= 0) result = sd_bus_start(made);
  if (result >= 0) result = sd_bus_attach_event(made, loop.get(), SD_EVENT_PRIORITY_NORMAL);
  if (auto connected = check(result, path.c_str()); !connected) return fail(connected.error());
  return bus;
}

}  // namespace handover::bus

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "daemon_side.h"

namespace handover::test {

bus::BusPtr DaemonSide::connect() {
  sd_bus* made = nullptr;
  must(sd_bus_new(&made), "sd_bus_new");
  bus::BusPtr bus(made);
  must(sd_bus_set_address(made, bus_.address().c_str()), "an address");
  must(sd_bus_set_bus_client(made, 1), "a bus client");
  must(sd_bus_start(made), "connecting");
  must(sd_bus_attach_event(made, loop_.get(), SD_EVENT_PRIORITY_NORMAL), "attaching");
  return bus;
}

bool DaemonSide::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  return outer_.run_until(
      [&] {
        while (must(sd_event_run(loop_.get(), 0), "sd_event_run") > 0) {
        }
        return done();
      },
      limit);
}

}  // namespace handover::test

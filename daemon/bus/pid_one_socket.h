// SPDX-License-Identifier: LGPL-2.1-or-later
// PID 1 without a bus in between: its private socket, which systemctl falls back to as well. Only
// root may use it.
#pragma once

#include <string>

#include "bus/sd_bus.h"
#include "system/loop.h"

namespace handover::bus {

inline constexpr const char* pid_one_socket = "/run/systemd/private";

/// A connection on the loop: calls of systemd.h go there as they do by the bus. io: nobody listens
/// there.
Result<BusPtr> connect_to_pid_one(system::Loop& loop, const std::string& path = pid_one_socket);

}  // namespace handover::bus

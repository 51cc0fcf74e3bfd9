// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether the boot is over: has PID 1 started all that it has to?
#pragma once

#include <functional>

#include "bus/sd_bus.h"
#include "system/loop.h"

namespace handover::bus {

/// Asks PID 1 on `bus` (nullptr: there is none now). `answer` runs once, later, from the loop:
/// false also if that cannot be found out within 10 s; true where PID 1 is not systemd.
void ask_whether_boot_is_over(system::Loop& loop, sd_bus* bus, std::function<void(bool)> answer);

}  // namespace handover::bus

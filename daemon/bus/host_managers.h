// SPDX-License-Identifier: LGPL-2.1-or-later
// Asks logind and PID 1 what preflight wants to know of them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bus/sd_bus.h"
#include "core/manager_facts.h"
#include "system/loop.h"

namespace handover::bus {

/// `bus` may be nullptr: there is none now. `answer` runs once, later, from the loop, within a
/// second: what was not answered by then is left out. `units` are the system's, by name.
void ask_host_managers(system::Loop& loop, sd_bus* bus, const std::vector<std::string>& units,
                       std::function<void(ManagerFacts)> answer);

}  // namespace handover::bus

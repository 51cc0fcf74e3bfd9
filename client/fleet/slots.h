// SPDX-License-Identifier: LGPL-2.1-or-later
// `handover-fleet lock list` and `lock break`.
#pragma once

#include <handover/handover.hpp>
#include <string>

#include "config.h"

namespace handover::fleet {

/// A table, or JSON.
client::Result<std::string> list_slots(const Lock& lock, bool json);

/// `which`: a slot's number, or the name or id of the host that holds it. What was done, one line.
client::Result<std::string> break_slot(const Lock& lock, const std::string& which);

}  // namespace handover::fleet

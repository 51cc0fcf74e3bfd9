// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's counters in words.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

#include "bus.h"

namespace handover::ctl {

/// One line each: the value, and what it counts. Those that this program does not know come last,
/// by the daemon's own name.
std::string statistics_text(const Properties& statistics, std::size_t width);
nlohmann::json statistics_json(const Properties& statistics);

}  // namespace handover::ctl

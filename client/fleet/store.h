// SPDX-License-Identifier: LGPL-2.1-or-later
// Small files that are whole at any instant.
#pragma once

#include <handover/handover.hpp>
#include <string>

namespace handover::fleet {

enum class Durable { no, yes };

/// Puts `text` in place of what was there, in one step; durable: when it returns, a power cut does
/// not undo it.
client::Result<void> replace_file(const std::string& path, const std::string& text,
                                  Durable durable);

/// $STATE_DIRECTORY, or /var/lib/handover/fleet.
std::string state_directory();
/// $RUNTIME_DIRECTORY, or /run/handover-fleet.
std::string runtime_directory();

}  // namespace handover::fleet

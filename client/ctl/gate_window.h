// SPDX-License-Identifier: LGPL-2.1-or-later
// update --wait-for-window: until the maintenance window of this host's gate is open, by what
// handover-fleet tells in its status file (docs/fleet.md).
#pragma once

#include <sys/types.h>

#include <functional>
#include <handover/handover.hpp>
#include <optional>
#include <string>

#include "commands.h"

namespace handover::ctl {

struct GateWindow {
  bool open = false;
  std::string opens;  ///< RFC 3339; "": never again
  bool operator==(const GateWindow&) const = default;
};

/// Of the text of the status file. Nothing: the gate does not know yet. An error: it cannot tell,
/// or the process that wrote it is not there any more.
client::Result<std::optional<GateWindow>> parse_gate_window(
    const std::string& text, const std::function<bool(pid_t)>& lives);

/// `ok` once it is open; else why nothing was begun, which it has said. A gate that has told a
/// window may be away for 30 s, while it is started anew.
Outcome wait_for_window(Context context);

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
// What `handover-fleet run` tells of the gate, in a file for `handover-fleet status`, handoverctl
// and metrics: /run/handover-fleet/status.json (docs/fleet.md has its fields).
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "config.h"
#include "message.h"
#include "turn.h"
#include "window.h"

namespace handover::fleet {

/// How a group of checks ended last.
struct HealthNote {
  std::string failure;  ///< "": all passed
  std::string at;       ///< RFC 3339
};

struct Status {
  pid_t pid = 0;
  std::string id;  ///< of this host at the lock's server
  Turn turn;
  std::string since;  ///< when the turn came into its phase
  std::optional<WindowState> window;
  std::string window_failure;  ///< why the windows cannot be told, or ""
  std::string window_at;       ///< when they were looked at
  /// Of the last request to the lock's server; none yet.
  std::optional<bool> server_answers;
  std::string server_failure, server_at;
  std::optional<HealthNote> before, after;
  std::string veto, veto_at;  ///< the last one
};

std::string to_json(const Status& status, const Lock& lock);
/// For people, of that JSON.
std::string to_lines(const nlohmann::json& status);

std::string status_path(const std::string& directory);
/// Of the gate that runs; an error if none does.
client::Result<nlohmann::json> read_status(const std::string& directory);

}  // namespace handover::fleet

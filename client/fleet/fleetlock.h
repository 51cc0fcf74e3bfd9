// SPDX-License-Identifier: LGPL-2.1-or-later
// The FleetLock protocol (coreos.github.io/zincati/development/fleetlock/protocol) as functions
// over values.
#pragma once

#include <string>

#include "message.h"

namespace handover::fleet {

enum class FleetLockCall { pre_reboot, steady_state };

Request fleetlock_request(FleetLockCall call, const std::string& group, const std::string& id);

/// 2xx is yes. Any other answer of pre-reboot below 500 is a no that has changed nothing; what went
/// wrong in the server itself, or on the way back, leaves it open. `url`: for the sentence.
LockOutcome fleetlock_outcome(FleetLockCall call, const Reply& reply, const std::string& url);

}  // namespace handover::fleet

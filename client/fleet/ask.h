// SPDX-License-Identifier: LGPL-2.1-or-later
// Prepare's work: whether this host may be updated now, by its window, its people, its health and
// the fleet's lock, in this order, so that a slot is asked for only by who could use it.
//
// Threads: any; it blocks.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "config.h"
#include "etcd.h"
#include "http.h"
#include "message.h"
#include "turn.h"
#include "window.h"

namespace handover::fleet {

struct Answer {
  Event event;                        ///< yes, no or unsure
  std::optional<WindowState> window;  ///< if it was looked at
  std::uint64_t expected_usec = 0;    ///< how long the update will take, as far as it counts
  std::optional<std::string> health;  ///< of the checks before, if they ran: "", or what failed
  std::optional<LockOutcome> lock;    ///< if it was asked for
};

Answer ask_fleet(const Config& config, const Claim& claim, Server& server,
                 const std::atomic<bool>& given_up);

/// The longest that this may take, requests to the server included.
std::uint64_t longest_ask_usec(const Config& config);

}  // namespace handover::fleet

// SPDX-License-Identifier: LGPL-2.1-or-later
// The host's turn in the fleet, as one pure table: (turn, event) → (turn, actions).
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config.h"
#include "etcd.h"

namespace handover::fleet {

enum class Phase {
  idle,       ///< it is not our turn
  asking,     ///< Prepare waits for the fleet's yes; a slot may be ours already
  held,       ///< our turn: from the yes until the update has ended, whichever kernel that is in
  checking,   ///< the update has ended, the health check after it runs
  releasing,  ///< the turn is over, and the slot has to go back; tried until the server has it
  kept,       ///< the host is not well: the slot stays until a person lets go
};
std::string_view to_string(Phase phase);

/// All of it outlives the process, and the kernel.
struct Turn {
  Phase phase = Phase::idle;
  Claim claim;                          ///< of the slot, once one was asked for
  std::optional<LockPlace> place = {};  ///< where it was asked for
  int slot = -1;                        ///< in etcd; -1: none, or unknown
  std::string boot;                     ///< id of the boot in which the fleet said yes
  std::string reason;                   ///< why it is in this phase, if there is something to say
  bool owes = false;  ///< asking: a slot of before may still be ours, whatever the answer is
  bool operator==(const Turn&) const = default;
};

std::string to_json(const Turn& turn);
client::Result<Turn> parse_turn(std::string_view text);

struct Event {
  enum class Kind {
    prepare,     ///< the daemon calls; `claim` is what to ask for, at `place`
    yes,         ///< Prepare's work has ended: `slot`
    no,          ///< it has ended with `text`, and has left us no slot
    unsure,      ///< it has ended with `text`, and we may hold one
    cancel,      ///< the daemon calls: Cancel, or a Thaw after which nothing may follow
    freeze,      ///< `text`: why it must not come now, or ""
    restore,     ///< the daemon calls, in the new kernel
    healthy,     ///< the check after the update has ended
    unhealthy,   ///< with `text`
    released,    ///< the server has it back
    unreleased,  ///< not yet: `text`
    let_go,      ///< a person says: release
    started,     ///< this process has begun
    alone,       ///< registered, and no call of the daemon's waits for us; `boot` is this boot's id
  };
  Kind kind = Kind::alone;
  std::string text;
  Claim claim;
  std::optional<LockPlace> place = {};
  int slot = -1;
  std::string boot;
};

struct Action {
  enum class Kind {
    persist,         ///< the turn, before anything else happens
    ask,             ///< begin Prepare's work
    stop_asking,     ///< its answer is of no interest any more
    accept,          ///< answer the daemon's call: done
    refuse,          ///< answer it: `text`
    accept_prepare,  ///< answer Prepare, which waits
    refuse_prepare,
    accept_restore,  ///< answer Restore, if it waits
    refuse_restore,
    check_health,
    release,  ///< ask the server to take the slot back
    release_later,
    accept_person,  ///< answer who let go
    refuse_person,
  };
  Kind kind = Kind::persist;
  std::string text = {};
  bool operator==(const Action&) const = default;
};

struct Step {
  Turn turn;
  std::vector<Action> actions;  ///< in this order
};

Step step(const Turn& turn, const Event& event);

}  // namespace handover::fleet

// SPDX-License-Identifier: LGPL-2.1-or-later
// What goes wrong in one round of the chaos test: it follows from a seed and the round's number.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "journal.h"

namespace handover::test {

/// How one client misbehaves for one round.
struct Deed {
  enum class Kind {
    veto,
    veto_at_length,      ///< with a sentence of 100 KB that a terminal would obey
    be_silent,           ///< never answers
    be_late,             ///< answers after `delay`, which can be more than its time limit
    leave,               ///< closes its connection in place of an answer
    leave_for_a_moment,  ///< and is back after `delay`
    enroll_again,        ///< before it answers
    end_session,         ///< gives up what it preserved, before it answers
    die,                 ///< after `delay`, whatever goes on
    bring_another,       ///< a client that nobody knows comes after `delay`
    keep_more,           ///< makes one session after the other
    need_each_other,     ///< it needs the next culprit, and that one it
    need_nobody,         ///< it needs somebody who is not there: no update can begin
  };

  Kind kind = Kind::veto;
  Call call = Call::prepare;  ///< in which it happens, for those that have one
  bool required = false;      ///< for as long as it misbehaves
  std::chrono::milliseconds delay{0};
};

struct Round {
  enum class Wish {
    update,
    prepare_then_update,
    prepare_then_cancel,
    update_and_cancel,  ///< after `when`
    update_and_kill,    ///< the daemon, after `when`
  };

  Wish wish = Wish::update;
  std::chrono::milliseconds when{0};
  std::map<std::size_t, Deed> culprits;  ///< by the client's number
};

/// Every tenth of `clients` misbehaves.
Round round_of(std::uint64_t seed, std::size_t number, std::size_t clients);

/// Whom a client needs for good, by numbers below its own: no circles.
std::vector<std::size_t> needs_of(std::uint64_t seed, std::size_t client);

std::string to_string(Round::Wish wish);

/// For a person: "update; 17 be_silent in Freeze, required; …".
std::string to_string(const Round& round);

}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// A rehearsal: an update up to the reboot call, which is then undone. What it was asked for, and
// what is worked out from it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/timeline.h"
#include "core/words.h"

namespace handover {

struct HistoryEntry;

struct Rehearsal {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::uint64_t at_most_usec = 0;  ///< nobody stands still for longer; 0: as the freeze may take
  /// The blackout of such an update; absent: none has been made that it could be worked out from.
  std::optional<std::uint64_t> estimate_usec;
  std::uint64_t estimate_from = 0;         ///< the update whose boot is in it
  std::vector<std::string> not_rehearsed;  ///< what only an update shows, a few words each
  nlohmann::json extra = no_extra;
  bool operator==(const Rehearsal&) const = default;
};

/// First client frozen → where the reboot call would have been. nullopt: it did not come so far.
std::optional<std::uint64_t> usec_to_reboot(const Timeline& rehearsal);

struct BlackoutEstimate {
  std::uint64_t usec = 0;
  std::uint64_t from = 0;  ///< id of the update whose boot is in it
};
/// What was rehearsed, and the newest update of that mode from its reboot call to its last client.
/// `entries`: the history, the newest first.
std::optional<BlackoutEstimate> estimate_blackout(const Timeline& rehearsal, Mode mode,
                                                  std::span<const HistoryEntry> entries);

/// `luo`: the kernel freezes sessions of its own.
std::vector<std::string> not_rehearsed(Mode mode, bool luo);

/// "client 'db' stood still for 612 ms, longer than 500 ms"; "" if nobody did.
std::string over_limit(const Timeline& rehearsal, std::uint64_t at_most_usec);

}  // namespace handover

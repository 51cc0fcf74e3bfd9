// SPDX-License-Identifier: LGPL-2.1-or-later
// The record of an update that is about to leave this kernel, in <state directory>/pending.json:
// all that tells of it where the manifest did not come along (a panic, a kexec that ended in a cold
// boot). It is there from before the first Freeze until the update is over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/timeline.h"

namespace handover::engine {

struct PendingUpdate {
  static constexpr std::uint64_t version = 1;

  struct Session {
    std::string name;
    std::string client;  ///< "" if none
    bool operator==(const Session&) const = default;
  };

  std::uint64_t id = 0;
  std::string mode;
  std::string from_release;
  std::string to_release;
  std::string boot_id;  ///< of the kernel that it is written in
  Timeline timeline;
  std::vector<Session> sessions;
  bool operator==(const PendingUpdate&) const = default;
};

std::string serialize(const PendingUpdate& pending);
/// manifest_invalid with what is wrong (cut, garbled, version, a field). Never throws.
Result<PendingUpdate> parse_pending(std::string_view text);

/// Where no manifest was found: whether the update took its sessions with it. Not if this is still
/// the kernel that it was to leave, and not if its end is in the history already.
bool lost_its_sessions(const PendingUpdate& pending, bool same_kernel,
                       const std::vector<HistoryEntry>& history);

/// How it ended, then, with one loss for each of its sessions, in their order. `why` "": since the
/// kexec did not bring the state along.
HistoryEntry failed_entry(const PendingUpdate& pending, const std::string& why);

}  // namespace handover::engine

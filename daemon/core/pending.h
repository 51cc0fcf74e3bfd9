// SPDX-License-Identifier: LGPL-2.1-or-later
// The record of an update that is about to leave this kernel, as pending.json keeps it.
//
// If no manifest arrives in the next kernel (a panic, a cold boot in place of the kexec), it tells
// what was lost. It exists from before the first Freeze until the update is over.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/extra.h"
#include "core/history_entry.h"
#include "core/timeline.h"
#include "core/words.h"

namespace handover {

struct PendingUpdate {  // NOLINT(bugprone-exception-escape): of json, which does not throw when
                        // moved
  static constexpr std::uint64_t version = 1;

  struct Session {
    std::string name;
    std::string client;  ///< "" if none
    bool operator==(const Session&) const = default;
  };

  std::uint64_t id = 0;
  Mode mode = Mode::external;
  std::string from_release;
  std::string to_release;
  std::string image;  ///< of the target (core/kernel_ledger.h), if it has been handed to the reboot
                      ///< call; else "": whatever lost the state, it was not the target
  std::string boot_id;  ///< of the kernel that it is written in
  Timeline timeline;
  std::vector<Session> sessions;
  nlohmann::json extra = no_extra;
  bool operator==(const PendingUpdate&) const = default;
};

std::string serialize(const PendingUpdate& pending);
/// manifest_invalid with what is wrong (cut, garbled, version, a field). Never throws.
Result<PendingUpdate> parse_pending(std::string_view text);

/// Whether the update has lost its sessions, given that no manifest was found. Not if this is still
/// the kernel that it was to leave, and not if the history already tells how it ended.
bool lost_its_sessions(const PendingUpdate& pending, bool same_kernel,
                       const std::vector<HistoryEntry>& history);

/// The history entry of such an update, with one loss for each session, in the same order. `why`
/// "": the kexec did not bring the state along.
HistoryEntry failed_entry(const PendingUpdate& pending, const std::string& why);

}  // namespace handover

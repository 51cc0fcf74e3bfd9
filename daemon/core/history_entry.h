// SPDX-License-Identifier: LGPL-2.1-or-later
// The record of one finished update, as history.json keeps it and GetHistory returns it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/extra.h"
#include "core/left_out.h"
#include "core/rehearsal.h"
#include "core/timeline.h"
#include "core/words.h"

namespace handover {

struct HistoryEntry {  // NOLINT(bugprone-exception-escape): of json, which does not throw when
                       // moved
  std::uint64_t id = 0;
  std::uint64_t generation = 0;  ///< after the update
  Outcome outcome = Outcome::failed;
  std::string reason;  ///< names the culprit; "" if done
  std::string error;   ///< D-Bus name of the error that ended it; "" if none did
  std::string client;  ///< the client that was to blame, and what it was called for; "" if none was
  std::string call;
  std::string hook;  ///< the hook that was to blame, "prepare/50-check"; "" if none was
  Mode mode = Mode::external;
  std::string from_release;
  std::string to_release;
  std::string finished_at;  ///< RFC 3339, UTC
  Timeline timeline;
  std::vector<std::string> losses;  ///< one sentence each, per session or client
  std::vector<LeftOut> left_out;    ///< clients that the update went on without
  std::string overruled;            ///< the finding that it ignored on request, or ""
  std::optional<Rehearsal> rehearsal;
  /// What the health command said of the new kernel: "running", "passed" or "failed"; "": there is
  /// none, or the update did not come so far.
  std::string health;
  std::string health_reason;  ///< why it failed; "" otherwise
  /// The disk did not take it when the update ended, or the daemon died before: it was tried again.
  bool written_late = false;
  nlohmann::json extra = no_extra;
  bool operator==(const HistoryEntry&) const = default;
};

/// Whether both are about one update; the daemon may have died after it wrote one of them. The ids
/// are not enough, since they start again with each cold boot.
bool same_update(const HistoryEntry& a, const HistoryEntry& b);

/// One JSON object in one line, with the fields that docs/history.md calls computed, which
/// parse_history() ignores.
std::string serialize(const HistoryEntry& entry);
/// A JSON array with one line for each entry.
std::string serialize(std::span<const HistoryEntry> entries);

/// Reads a JSON array of entries. manifest_invalid names the place and the field. Unknown outcomes
/// and modes, of a newer version, are read as failed and external, and written again as they were.
/// Never throws.
Result<std::vector<HistoryEntry>> parse_history(std::string_view text);

}  // namespace handover

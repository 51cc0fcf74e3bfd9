// SPDX-License-Identifier: LGPL-2.1-or-later
// The records of past updates, kept in <state directory>/history.json, newest first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/timeline.h"

namespace handover::engine {

/// Both tell of one update: the daemon died between writing it down and going on, say. Ids alone do
/// not tell, they begin anew with a cold boot.
bool same_update(const HistoryEntry& a, const HistoryEntry& b);

class History {
 public:
  History(std::string path, std::uint64_t most);

  /// Reads the file once and puts its entries behind those that are here. Absent is empty for now:
  /// early in a boot its file system may not be mounted yet, so call it again. manifest_invalid if
  /// it is garbled: then it is moved aside to "<path>.bad", and nothing is lost.
  Result<void> load();
  /// Adds in memory, in place of the newest if that is of the same update; write() puts it on disk.
  void add(HistoryEntry entry);
  /// State that turned out to be lost after its update was over: told in the newest entry.
  void add_loss(std::string reason);
  /// With what load() has not read yet, if that is there by now. io while the file system is still
  /// read-only (early boot): try again later.
  Result<void> write();

  [[nodiscard]] const std::vector<HistoryEntry>& entries() const { return entries_; }
  /// What GetHistory returns: each entry with its phases and blackouts worked out.
  [[nodiscard]] std::string to_json_text(std::size_t most) const;

 private:
  std::string path_;
  std::uint64_t most_;
  std::vector<HistoryEntry> entries_;
  bool loaded_ = false;  ///< nothing is on disk that is not in entries_
};

}  // namespace handover::engine

// SPDX-License-Identifier: LGPL-2.1-or-later
// The records of past updates, kept in <state directory>/history.json, newest first.
//
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/history_entry.h"
#include "engine/host.h"

namespace handover::engine {

class History {
 public:
  explicit History(std::uint64_t most) : most_(most) {}

  /// Reads the file once and puts its entries behind those that are here. Absent is empty for now:
  /// early in a boot its file system may not be mounted yet, so call it again. manifest_invalid if
  /// it is garbled: then it is moved aside to "<path>.bad", and nothing is lost.
  Result<void> load(Host& host);
  /// Adds in memory, in place of the newest if that is of the same update; write() puts it on disk.
  void add(HistoryEntry entry);
  /// State that turned out to be lost after the update that carried it was over: told in the entry
  /// of the update that led to that generation, as soon as it is read. Where the newest one that
  /// was done has led to another, nowhere.
  void add_loss(std::uint64_t generation, std::string sentence);
  struct Health {
    std::uint64_t generation = 0;
    std::string health;
    std::string reason;
  };
  /// In the same entry.
  void set_health(Health health);
  /// With what load() has not read yet, if that is there by now. io while the file system is still
  /// read-only (early boot): try again later. Then the entries that were not written say so.
  Result<void> write(Host& host);

  [[nodiscard]] const std::vector<HistoryEntry>& entries() const { return entries_; }
  /// What GetHistory returns: each entry with its phases and standstills worked out. No more than
  /// fit into most_history_bytes.
  [[nodiscard]] std::string to_json_text(std::size_t most) const;

 private:
  Result<void> write_all(Host& host);
  /// nullptr: the newest that was done has led to another generation, or is not read.
  [[nodiscard]] HistoryEntry* done_to(std::uint64_t generation);

  std::uint64_t most_;
  std::vector<HistoryEntry> entries_;
  std::size_t unwritten_ = 0;  ///< so many, the newest, are not on disk
  struct Loss {
    std::uint64_t generation = 0;
    std::string sentence;
  };
  std::vector<Loss> early_losses_;  ///< the entry that they belong to is not read yet
  std::vector<Health> early_health_;
  bool loaded_ = false;  ///< nothing is on disk that is not in entries_
};

/// Of an entry, until the health command has ended.
inline constexpr auto health_running = "running";

/// A tenth of what a bus takes in one message, and 30 records of a thousand clients.
inline constexpr std::size_t most_history_bytes = std::size_t{4} << 20U;

}  // namespace handover::engine

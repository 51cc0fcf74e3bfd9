// SPDX-License-Identifier: LGPL-2.1-or-later
// What outlives an update on disk: the history, and the record of the update that is about to leave
// this kernel. All of it is read and written on the pool, since a disk may take its time, and is
// tried again while the state directory's file system is not there.
//
// Threads: the loop. The history itself belongs to the disk's queue.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/pending.h"
#include "core/timeline.h"
#include "engine/history.h"
#include "engine/host.h"

namespace handover::engine {

class Records {
 public:
  Records(Host& host, std::uint64_t most_entries)
      : host_(host), history_(std::make_shared<History>(most_entries)) {}
  ~Records() { *alive_ = false; }
  Records(const Records&) = delete;
  Records& operator=(const Records&) = delete;

  // ---- history
  /// Adds an entry, and writes the file. `then` runs when it is on disk and the pending record is
  /// gone, or when that has failed once (it is tried again).
  void add(HistoryEntry entry, std::function<void()> then);
  /// State that an update carried turned out to be lost after it was over: told in its entry, by
  /// the generation that it led to. Many of them are written at once.
  void add_loss(std::uint64_t generation, std::string sentence);
  /// What the health command says of the kernel that the update went into.
  void set_health(std::uint64_t generation, std::string health, std::string reason);
  /// The newest `most` entries as JSON, as far as they fit into a message.
  void read(std::uint32_t most, std::function<void(Result<std::string>)> then);
  /// Some entry's `then` has not run yet.
  [[nodiscard]] bool owes_word() const { return !when_tried_.empty(); }
  /// Runs whenever all that was added is on disk.
  void on_written(std::function<void()> then) { on_written_ = std::move(then); }
  /// Reads the file, so that the first who asks does not wait for it.
  void load();

  // ---- the record of an update that is about to leave this kernel
  /// Writes it down; `then` runs when it is on disk, or cannot be.
  void write_pending(const PendingUpdate& pending, std::function<void()> then);
  /// The update is over; the record goes when the history has it.
  void pending_is_over();
  /// It is not needed (any more).
  void remove_pending();
  /// Looks for the record that an earlier kernel left, as soon as the state directory is there.
  /// `then` gets it if its update lost its sessions and the history does not tell so; else nothing.
  using Lost = std::function<void(const std::optional<PendingUpdate>&)>;
  void look_for_lost(const std::string& boot_id, bool emulated_kexec, Lost then);
  /// Looks now, whatever is there: its place is about to be taken.
  void look_for_lost_now();

 private:
  void write_history();
  void history_written(const Result<void>& done);
  void look();
  void tell_tried();

  Host& host_;
  std::shared_ptr<History> history_;  ///< of the disk's queue
  bool writing_ = false;              ///< a write is on its way
  bool write_again_ = false;          ///< what came since is behind it in the queue
  unsigned history_tries_ = 0;
  unsigned pending_tries_ = 0;
  bool pending_over_ = false;
  std::uint64_t pending_writes_ = 0;  ///< what was to remove an earlier record has nothing to do
  bool place_taken_ = false;          ///< while a look is told: by another record than it has seen
  std::vector<std::function<void()>> when_tried_;
  std::function<void()> on_written_;
  Host::Alarm history_alarm_;
  Host::Alarm loss_alarm_;
  Host::Alarm pending_alarm_;
  struct Look {
    std::string boot_id;
    bool emulated_kexec = false;
    Lost then;
    unsigned tries = 0;
    bool now = false;
  };
  std::optional<Look> look_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace handover::engine

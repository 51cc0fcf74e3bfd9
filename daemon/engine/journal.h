// SPDX-License-Identifier: LGPL-2.1-or-later
// The manifest on its two ways out: into /run for the daemon's own death, and into preserved memory
// for a kexec. What changes in a turn of the loop is written once, at its end, as lines behind the
// last whole text.
//
// Threads: the loop. A new whole text is made and put into preserved memory on the pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/manifest_store.h"
#include "core/error.h"
#include "core/manifest.h"
#include "core/manifest_change.h"
#include "engine/host.h"

namespace handover::engine {

/// What the journal writes down, as it is now.
class Model {
 public:
  virtual ~Model() = default;
  [[nodiscard]] virtual Manifest manifest() const = 0;
  [[nodiscard]] virtual HeadChange head() const = 0;
  /// nullptr: it is gone.
  [[nodiscard]] virtual const SessionRecord* session(std::uint64_t id) const = 0;
  [[nodiscard]] virtual const ClientRecord* client(const std::string& name) const = 0;
  [[nodiscard]] virtual const std::optional<UpdateRecord>& update() const = 0;
};

class Journal {
 public:
  Journal(Host& host, std::shared_ptr<backend::ManifestStore> store, const Model& model)
      : host_(host), store_(std::move(store)), model_(model) {}
  ~Journal() { *alive_ = false; }
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// The first whole text of this process. Into preserved memory it comes a moment later.
  Result<void> begin();
  [[nodiscard]] bool begun() const { return base_bytes_ != 0; }
  /// Runs once, when preserved memory has a text of this process.
  void on_first_text(std::function<void()> then) { on_first_ = std::move(then); }

  void note_head() { head_ = true; }
  void note_session(std::uint64_t id) { sessions_.insert(id); }
  void note_token(std::uint64_t session, std::uint64_t token) { tokens_.insert({session, token}); }
  void note_client(const std::string& name) { clients_.insert(name); }
  /// The update as a whole has begun, ended or got other properties.
  void note_update() { update_ = true; }
  void note_loss(const std::string& sentence) { losses_.push_back(sentence); }
  void note_left_out(const LeftOut& left_out) { left_out_.push_back(left_out); }
  /// It comes with what is written next, or a moment later. Where a thousand clients answer one
  /// after the other, each would cost all others the time of a write; and a daemon that dies before
  /// it does not know how long they took.
  void note_times(const std::string& client) { times_.insert(client); }
  /// After its update was over.
  void note_late_loss(const std::string& sentence) { late_losses_.push_back(sentence); }
  /// The history has those that were noted so far.
  void note_late_losses_written() {
    late_losses_written_ = true;
    late_losses_.clear();
  }
  /// It was left out before.
  void note_in_again(const std::string& client);
  [[nodiscard]] bool dirty() const { return noted() || !times_.empty(); }
  /// What was noted is to be written at the end of this turn.
  [[nodiscard]] bool presses() const { return noted() || cut_; }

  /// Writes what was noted. Where preserved memory is just being written by the pool, it follows
  /// when that is done; idle() tells. After an error nothing is forgotten: it is tried again, at
  /// the next flush() at the latest.
  Result<void> flush();
  /// In some milliseconds.
  void flush_soon();
  /// Preserved memory has all that was flushed.
  [[nodiscard]] bool idle() const { return !busy_ && !stale_; }
  /// Runs in the loop when idle(), or with what keeps preserved memory from having it all.
  using Then = std::function<void(const Result<void>&)>;
  void when_idle(Then then);
  /// No update runs: lines behind the whole text may be made one with it.
  void compact_if_worth();
  /// While false, compact_if_worth() does nothing.
  void allow_compaction(bool allowed) { may_compact_ = allowed; }

  struct Figures {
    std::uint64_t flushes = 0;
    std::uint64_t lines = 0;
    std::uint64_t flush_usec = 0;  ///< of all flushes together
    std::uint64_t longest_flush_usec = 0;
    std::uint64_t compactions = 0;
    std::uint64_t text_bytes = 0;  ///< the whole text and the lines behind it
  };
  [[nodiscard]] const Figures& figures() const { return figures_; }

 private:
  /// Anything but times.
  [[nodiscard]] bool noted() const;
  [[nodiscard]] Manifest snapshot() const;
  [[nodiscard]] std::vector<Change> take_changes();
  Result<void> write_lines(const std::string& lines);
  void keep_lines(const std::string& lines);
  void make_whole();
  void replace_on_pool(std::optional<Manifest> snapshot, std::string text);
  void replaced(const std::string& text, const Result<void>& done);
  void schedule_again();
  void try_again();

  Host& host_;
  std::shared_ptr<backend::ManifestStore> store_;
  const Model& model_;

  bool head_ = false;
  bool update_ = false;
  std::set<std::uint64_t> sessions_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> tokens_;
  std::set<std::string> clients_;
  std::set<std::string> times_;
  std::vector<std::string> losses_;
  std::set<std::string> in_again_;  ///< written before left_out_
  std::vector<LeftOut> left_out_;
  bool late_losses_written_ = false;
  std::vector<std::string> late_losses_;

  std::uint64_t sequence_ = 1;   ///< of the next line
  std::size_t base_bytes_ = 0;   ///< of the whole text that lines are behind
  std::size_t lines_bytes_ = 0;  ///< behind it
  bool cut_ = false;    ///< lines behind the text in /run would not be read: it needs a new one
  bool busy_ = false;   ///< the pool writes preserved memory
  bool stale_ = false;  ///< preserved memory lacks something, and needs a new text
  bool whole_again_ = false;  ///< the text that the pool writes is not to stay
  bool may_compact_ = true;
  std::string held_back_;  ///< lines since the text that the pool writes
  std::vector<Then> when_idle_;
  std::function<void()> on_first_;
  Host::Alarm compaction_;
  Host::Alarm again_;
  Host::Alarm soon_;
  Figures figures_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace handover::engine

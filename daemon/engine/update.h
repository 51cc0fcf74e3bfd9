// SPDX-License-Identifier: LGPL-2.1-or-later
// The update that runs: what was asked for, what became of it so far, and its job. No I/O.
//
// Threads: the loop only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/error.h"
#include "core/history_entry.h"
#include "core/manifest.h"
#include "core/timeline.h"
#include "core/update_options.h"
#include "core/words.h"
#include "engine/client_call.h"
#include "engine/host.h"

namespace handover::engine {

enum class JobType {
  prepare,   ///< up to prepared
  rehearse,  ///< up to the reboot call, and back to prepared
  update,
};
constexpr auto words(JobType) {
  return std::to_array<Word<JobType>>({{JobType::prepare, "prepare"},
                                       {JobType::rehearse, "rehearse"},
                                       {JobType::update, "update"}});
}

struct Job {
  std::uint64_t id = 0;
  JobType type = JobType::update;
  JobPhase phase = JobPhase::preflight;
  unsigned progress = 0;  ///< percent of the whole
  std::string detail;
};

/// The client, or the hook, to which a failure is due.
struct Culprit {
  std::string client;
  std::optional<ClientCall> call = {};  ///< what it was called for; empty: it left between calls
  std::string hook = {};                ///< then there is no client
};

class Update {
 public:
  /// Clients that register while others are being prepared are prepared in a round of their own.
  /// More rounds than this would let one that registers again and again hold the update up.
  static constexpr unsigned most_rounds = 3;
  /// A reason is for a person to read, and travels in messages.
  static constexpr std::size_t most_failure_bytes = 4096;

  // ---- its record; nullopt: no update runs, and none led to this kernel
  [[nodiscard]] const std::optional<UpdateRecord>& record() const { return record_; }
  [[nodiscard]] UpdateRecord* edit() { return record_ ? &*record_ : nullptr; }
  void set(std::optional<UpdateRecord> record) { record_ = std::move(record); }
  void mark(Mark mark, Ticks ticks);
  [[nodiscard]] bool marked(Mark mark) const;
  [[nodiscard]] ClientTimes* times(const std::string& client);
  [[nodiscard]] std::uint64_t usec_since(Ticks then, Ticks now) const;

  // ---- its plan
  UpdateOptions options;                ///< as asked for, then with everything filled in
  std::shared_ptr<Target> target;       ///< looked at; its files stay open
  PreflightInput looked_at;             ///< both kernels, as preflight saw them
  std::set<std::string> told_findings;  ///< sentences of preflight's in the journal
  bool target_loaded = false;
  std::function<void(Result<std::uint64_t>)> started;  ///< who asked, until it is under way

  /// Begins anew with what was asked for.
  void begin(std::uint64_t id, Mode mode, UpdateOptions asked, std::string from_release,
             std::string requested_by, std::uint64_t ticks_per_second);
  /// Nothing of the plan is left.
  void end();
  /// What is to come ends before the reboot call; nullopt: it does not.
  void rehearse(std::optional<Rehearsal> rehearsal);
  [[nodiscard]] bool rehearsing() const { return record_ && record_->rehearsal; }
  /// The rehearsal is over: what was prepared stays, under a new id.
  void go_on_from_rehearsal(std::uint64_t id);

  // ---- who came since
  void came(const std::string& client) { newcomers_.insert(client); }
  void left(const std::string& client) { newcomers_.erase(client); }
  [[nodiscard]] bool any_newcomers() const { return !newcomers_.empty(); }
  [[nodiscard]] const std::set<std::string>& newcomers() const { return newcomers_; }
  [[nodiscard]] std::set<std::string> take_newcomers() { return std::exchange(newcomers_, {}); }
  /// False: there have been enough.
  bool next_round() { return ++rounds_ <= most_rounds; }
  [[nodiscard]] bool any_round_left() const { return rounds_ < most_rounds; }
  void first_round() { rounds_ = 1; }

  // ---- sessions that changed since their memory was collapsed; all at first
  void touch(const std::string& session) { touched_.insert(session); }
  void touch_all() { all_touched_ = true; }
  struct Touched {
    bool all = false;
    std::set<std::string> names;
  };
  [[nodiscard]] Touched take_touched() {
    return {std::exchange(all_touched_, false), std::exchange(touched_, {})};
  }

  // ---- how it fails
  /// The first failure is the update's reason.
  void fail(Error error, std::optional<Culprit> culprit = {});
  /// As much as fits into `most_failure_bytes` with what is there.
  void add_to_failure(const std::string& sentence);
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
  void forget_failure() {
    failure_.reset();
    failure_is_full_ = false;
    culprit_.reset();
  }
  [[nodiscard]] HistoryEntry outcome(std::uint64_t generation, std::string finished_at) const;

  // ---- who runs again in the new kernel
  /// So many clients are to be restored, and so many run again.
  void begin_restore(std::size_t clients, std::size_t running);
  /// Its times are complete.
  void runs_again(const std::string& client);
  [[nodiscard]] unsigned restore_progress() const;  ///< percent of the whole
  /// For a person: how many run, who stood still for the longest time, and who for the shortest.
  [[nodiscard]] std::string restore_detail() const;

  // ---- its job
  std::optional<Job> job;

 private:
  std::optional<UpdateRecord> record_;
  std::optional<Error> failure_;
  bool failure_is_full_ = false;
  std::optional<Culprit> culprit_;
  std::set<std::string> newcomers_;
  std::set<std::string> touched_;
  bool all_touched_ = true;
  unsigned rounds_ = 1;
  std::size_t to_restore_ = 0;
  std::size_t running_ = 0;
  std::optional<Standstill> longest_;
  std::optional<Standstill> shortest_;
};

}  // namespace handover::engine

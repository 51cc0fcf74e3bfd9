// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/update.h"

#include <algorithm>
#include <utility>

#include "core/error_name.h"

namespace handover::engine {

void Update::mark(Mark mark, Ticks ticks) {
  if (record_) record_->timeline.marks[mark] = ticks;
}

bool Update::marked(Mark mark) const { return record_ && record_->timeline.marks.contains(mark); }

ClientTimes* Update::times(const std::string& client) {
  return record_ ? &record_->timeline.clients[client] : nullptr;
}

std::uint64_t Update::usec_since(Ticks then, Ticks now) const {
  return record_ ? ticks_to_usec(now - then, record_->timeline.ticks_per_second) : 0;
}

void Update::begin(std::uint64_t id, Mode mode, UpdateOptions asked, std::string from_release,
                   std::string requested_by, std::uint64_t ticks_per_second) {
  options = std::move(asked);
  target.reset();
  looked_at = {};
  told_findings.clear();
  forget_failure();
  newcomers_.clear();
  touched_.clear();
  all_touched_ = true;
  rounds_ = 1;
  record_.emplace();
  record_->id = id;
  record_->mode = mode;
  record_->from_release = std::move(from_release);
  record_->requested_by = std::move(requested_by);
  record_->timeline.ticks_per_second = ticks_per_second;
}

void Update::end() {
  record_.reset();
  forget_failure();
  target.reset();
  looked_at = {};
  told_findings.clear();
  newcomers_.clear();
  touched_.clear();
  all_touched_ = true;
}

void Update::rehearse(std::optional<Rehearsal> rehearsal) {
  if (record_) record_->rehearsal = std::move(rehearsal);
}

void Update::go_on_from_rehearsal(std::uint64_t id) {
  if (!record_) return;
  record_->id = id;
  record_->rehearsal.reset();
  record_->left_out.clear();
  record_->losses.clear();
  auto& timeline = record_->timeline;
  std::erase_if(timeline.marks, [](const auto& one) { return one.first >= Mark::freeze_begin; });
  for (auto& [name, times] : timeline.clients) {
    times.freeze_usec.reset();
    times.frozen_at.reset();
    times.running_at.reset();
  }
}

void Update::fail(Error error, std::optional<Culprit> culprit) {
  if (failure_) return;
  failure_ = std::move(error);
  culprit_ = std::move(culprit);
}

void Update::add_to_failure(const std::string& sentence) {
  if (!failure_ || failure_is_full_) return;
  auto& message = failure_->message;
  failure_is_full_ = message.size() + 1 + sentence.size() > most_failure_bytes;
  message.append(" ").append(failure_is_full_ ? "And more; see the journal." : sentence);
}

void Update::begin_restore(std::size_t clients, std::size_t running) {
  to_restore_ = clients;
  running_ = running;
  longest_.reset();
  shortest_.reset();
  if (!record_) return;
  longest_ = longest(record_->timeline);
  shortest_ = shortest(record_->timeline);
}

/// Not by a look at all of them: they stand still meanwhile.
void Update::runs_again(const std::string& client) {
  running_ = std::min(running_ + 1, to_restore_);
  if (!record_) return;
  const auto& timeline = record_->timeline;
  const auto times = timeline.clients.find(client);
  if (times == timeline.clients.end()) return;
  const auto usec = standstill_usec(times->second, timeline.ticks_per_second);
  if (!usec) return;
  if (!longest_ || *usec > longest_->usec) longest_ = Standstill{client, *usec};
  if (!shortest_ || *usec < shortest_->usec) shortest_ = Standstill{client, *usec};
}

unsigned Update::restore_progress() const {
  constexpr std::size_t from = 96;
  constexpr std::size_t to = 99;
  if (to_restore_ == 0) return from;
  return static_cast<unsigned>(from + (to - from) * running_ / to_restore_);
}

std::string Update::restore_detail() const {
  if (running_ == 0) return "Waiting for clients.";
  const auto told = [](const Standstill& one) {
    return std::to_string(one.usec / 1000) + " ms (" + one.client + ")";
  };
  std::string detail =
      std::to_string(running_) + " of " + std::to_string(to_restore_) + " clients run again";
  if (longest_) detail += "; longest standstill " + told(*longest_);
  // Of one client alone the longest is the shortest.
  if (shortest_ && shortest_->client != longest_->client)
    detail += ", shortest " + told(*shortest_);
  return detail + ".";
}

HistoryEntry Update::outcome(std::uint64_t generation, std::string finished_at) const {
  HistoryEntry entry;
  const auto& record = *record_;
  entry.id = record.id;
  entry.generation = generation;
  entry.mode = record.mode;
  entry.from_release = record.from_release;
  entry.to_release = record.kernel_release;
  entry.timeline = record.timeline;
  entry.losses = record.losses;
  entry.left_out = record.left_out;
  entry.overruled = record.overruled;
  entry.rehearsal = record.rehearsal;
  entry.finished_at = std::move(finished_at);
  if (failure_) {
    entry.outcome = failure_->code == ErrorCode::cancelled ? Outcome::cancelled : Outcome::failed;
    entry.reason = failure_->message;
    entry.error = dbus_name(failure_->code);
    if (culprit_) {
      entry.client = culprit_->client;
      if (culprit_->call) entry.call = to_string(*culprit_->call);
      entry.hook = culprit_->hook;
    }
  } else if (record.rehearsal) {
    entry.outcome = Outcome::rehearsed;
  } else if (!record.losses.empty()) {
    entry.outcome = Outcome::done_with_losses;
    entry.reason = record.losses.front();
    entry.error = dbus_name(ErrorCode::state_lost);
  } else {
    entry.outcome = Outcome::done;
  }
  return entry;
}

}  // namespace handover::engine

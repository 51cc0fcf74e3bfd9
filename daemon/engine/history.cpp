// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/history.h"

#include <algorithm>
#include <span>
#include <utility>

#include "core/error_name.h"
#include "core/history_entry.h"
#include "core/rehearsal.h"
#include "system/log.h"

namespace handover::engine {

Result<void> History::load(Host& host) {
  if (loaded_) return {};
  const auto text = host.read_state(StateFile::history);
  if (!text) {
    if (text.error().sys_errno == ENOENT) return {};
    return fail(text.error());
  }
  auto older = parse_history(*text);
  if (!older) {
    const auto aside = host.move_aside(StateFile::history);
    if (!aside) return fail(aside.error());
    loaded_ = true;
    return fail(ErrorCode::manifest_invalid, "The history cannot be read (" +
                                                 older.error().message + "); it is now " + *aside +
                                                 " and a new one begins.");
  }
  loaded_ = true;
  const auto ours = entries_;
  for (auto& entry : *older) {
    // Of a process before us, which the next kernel or a cold boot has cut off. Who goes on with it
    // says so again.
    if (entry.health == health_running) entry.health.clear();
    const bool known = std::any_of(ours.begin(), ours.end(), [&](const HistoryEntry& ended) {
      return same_update(ended, entry);
    });
    if (!known) entries_.push_back(std::move(entry));
  }
  if (entries_.size() > most_) entries_.resize(most_);
  return {};
}

void History::add(HistoryEntry entry) {
  if (entry.rehearsal) {
    if (const auto estimate = estimate_blackout(entry.timeline, entry.mode, entries_)) {
      entry.rehearsal->estimate_usec = estimate->usec;
      entry.rehearsal->estimate_from = estimate->from;
    }
  }
  if (!entries_.empty() && same_update(entries_.front(), entry)) {
    entry.written_late = entry.written_late || entries_.front().written_late;
    entries_.front() = std::move(entry);
    unwritten_ = std::max<std::size_t>(unwritten_, 1);
    return;
  }
  entries_.insert(entries_.begin(), std::move(entry));
  if (entries_.size() > most_) entries_.resize(most_);
  ++unwritten_;
}

/// Of those that have left a kernel: what this one has to claim came with it.
HistoryEntry* History::done_to(std::uint64_t generation) {
  const auto it = std::find_if(entries_.begin(), entries_.end(), [](const HistoryEntry& entry) {
    return entry.outcome == Outcome::done || entry.outcome == Outcome::done_with_losses;
  });
  return it == entries_.end() || it->generation != generation ? nullptr : &*it;
}

void History::set_health(Health health) {
  auto* const entry = done_to(health.generation);
  if (entry == nullptr) {
    if (!loaded_) early_health_.push_back(std::move(health));
    return;
  }
  entry->health = std::move(health.health);
  entry->health_reason = std::move(health.reason);
}

void History::add_loss(std::uint64_t generation, std::string sentence) {
  auto* const entry = done_to(generation);
  if (entry == nullptr) {
    if (!loaded_) early_losses_.push_back({generation, std::move(sentence)});
    return;
  }
  const auto& told = entry->losses;  // by an earlier process, perhaps
  if (std::find(told.begin(), told.end(), sentence) != told.end()) return;
  if (entry->outcome == Outcome::done) {
    entry->outcome = Outcome::done_with_losses;
    entry->reason = sentence;
    entry->error = dbus_name(ErrorCode::state_lost);
  }
  entry->losses.push_back(std::move(sentence));
}

Result<void> History::write(Host& host) {
  auto written = write_all(host);
  if (written) {
    unwritten_ = 0;
  } else {
    for (std::size_t i = 0; i < std::min(unwritten_, entries_.size()); ++i) {
      entries_[i].written_late = true;
    }
  }
  return written;
}

Result<void> History::write_all(Host& host) {
  if (auto loaded = load(host); !loaded) {
    // Unread and still in its place: not to be overwritten.
    if (!loaded_) return loaded;
    log::error(loaded.error().message);
  }
  for (auto& [generation, sentence] : std::exchange(early_losses_, {})) {
    add_loss(generation, std::move(sentence));
  }
  for (auto& health : std::exchange(early_health_, {})) set_health(std::move(health));
  auto written = host.replace_state(StateFile::history, serialize(std::span(entries_)));
  if (written) loaded_ = true;
  return written;
}

std::string History::to_json_text(std::size_t most) const {
  std::string text = "[";
  for (std::size_t i = 0; i < std::min(most, entries_.size()); ++i) {
    const auto entry = serialize(entries_[i]);
    if (i > 0 && text.size() + entry.size() + 2 > most_history_bytes) break;
    if (i > 0) text += ',';
    text += entry;
  }
  return text + "]";
}

}  // namespace handover::engine

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/journal.h"

#include <algorithm>

#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// Fewer bytes of lines than this are not worth a new whole text.
constexpr std::size_t least_to_compact = std::size_t{64} * 1024;
constexpr std::uint64_t compaction_pause_usec = 1'000'000;
constexpr std::uint64_t retry_usec = 500'000;
constexpr std::uint64_t soon_usec = 10'000;

}  // namespace

bool Journal::noted() const {
  return head_ || update_ || !sessions_.empty() || !tokens_.empty() || !clients_.empty() ||
         !losses_.empty() || !left_out_.empty() || !in_again_.empty() || late_losses_written_ ||
         !late_losses_.empty();
}

void Journal::note_in_again(const std::string& client) {
  std::erase_if(left_out_, [&](const LeftOut& left) { return left.client == client; });
  in_again_.insert(client);
}

Result<void> Journal::begin() {
  (void)take_changes();  // the whole text has them
  auto text = serialize(snapshot());
  auto written = host_.replace_manifest(text);
  cut_ = !written;
  if (cut_) schedule_again();
  base_bytes_ = text.size();
  lines_bytes_ = 0;
  if (busy_) {
    whole_again_ = true;
  } else {
    replace_on_pool(std::nullopt, std::move(text));
  }
  return written;
}

/// The lines behind it go on with the number of the next one: an old line that is left in memory
/// behind a shorter text has a lower one.
Manifest Journal::snapshot() const {
  auto manifest = model_.manifest();
  manifest.sequence = sequence_ - 1;
  return manifest;
}

/// The order matters: a token comes after its session, and a loss after its update.
std::vector<Change> Journal::take_changes() {
  soon_.reset();
  std::vector<Change> changes;
  if (std::exchange(head_, false)) changes.emplace_back(model_.head());
  const auto& update = model_.update();
  if (std::exchange(update_, false)) changes.emplace_back(change_of(update));
  for (const auto& name : std::exchange(times_, {})) {
    if (!update) continue;
    const auto times = update->timeline.clients.find(name);
    if (times != update->timeline.clients.end()) {
      changes.emplace_back(TimesChange{name, times->second});
    }
  }
  for (auto& loss : std::exchange(losses_, {})) changes.emplace_back(LossChange{std::move(loss)});
  for (const auto& client : std::exchange(in_again_, {})) {
    changes.emplace_back(InAgainChange{client});
  }
  for (auto& left : std::exchange(left_out_, {})) {
    changes.emplace_back(LeftOutChange{std::move(left)});
  }
  if (std::exchange(late_losses_written_, false)) changes.emplace_back(LateLossesWritten{});
  for (auto& loss : std::exchange(late_losses_, {})) {
    changes.emplace_back(LateLossChange{std::move(loss)});
  }
  for (const auto id : std::exchange(sessions_, {})) {
    if (const auto* session = model_.session(id)) {
      changes.emplace_back(change_of(*session));
    } else {
      changes.emplace_back(SessionGone{id});
    }
  }
  for (const auto& [id, token] : std::exchange(tokens_, {})) {
    const auto* session = model_.session(id);
    if (session == nullptr) continue;  // it went with it
    const auto at = std::lower_bound(
        session->tokens.begin(), session->tokens.end(), token,
        [](const TokenRecord& have, std::uint64_t want) { return have.token < want; });
    if (at != session->tokens.end() && at->token == token) {
      changes.emplace_back(TokenChange{id, *at});
    } else {
      changes.emplace_back(TokenGone{id, token});
    }
  }
  for (const auto& name : std::exchange(clients_, {})) {
    if (const auto* client = model_.client(name)) {
      changes.emplace_back(ClientChange{*client});
    } else {
      changes.emplace_back(ClientGone{name});
    }
  }
  return changes;
}

Result<void> Journal::flush() {
  if (!dirty() && !cut_) return {};
  const auto began = host_.now();
  const auto changes = take_changes();
  const auto lines = serialize(changes, sequence_);
  sequence_ += changes.size();
  auto written = write_lines(lines);
  keep_lines(lines);
  if (!written) schedule_again();
  const auto took = ticks_to_usec(host_.now() - began, host_.ticks_per_second());
  ++figures_.flushes;
  figures_.lines += changes.size();
  figures_.flush_usec += took;
  figures_.longest_flush_usec = std::max(figures_.longest_flush_usec, took);
  figures_.text_bytes = base_bytes_ + lines_bytes_;
  if (lines_bytes_ > std::max(least_to_compact, base_bytes_ / 2) && !compaction_) {
    compaction_ = host_.after(compaction_pause_usec, [this] {
      compaction_.reset();
      compact_if_worth();
    });
  }
  return written;
}

void Journal::flush_soon() {
  if (soon_ || !dirty()) return;
  soon_ = host_.after(soon_usec, [this] {
    if (auto written = flush(); !written) {
      log::error("The manifest could not be written: ", written.error().message);
    }
  });
}

/// Into /run.
Result<void> Journal::write_lines(const std::string& lines) {
  if (!cut_ && host_.append_manifest(lines)) {
    lines_bytes_ += lines.size();
    return {};
  }
  // A cut line behind the text would hide those that come later: a new whole text, then.
  const auto text = serialize(snapshot());
  auto written = host_.replace_manifest(text);
  cut_ = !written;
  if (!written) return written;
  base_bytes_ = text.size();
  lines_bytes_ = 0;
  return {};
}

/// Into preserved memory.
void Journal::keep_lines(const std::string& lines) {
  if (busy_) {
    held_back_ += lines;
  } else if (stale_ || !store_->append(lines)) {
    // No room behind the text there, or not all of it is there.
    make_whole();
  }
}

void Journal::compact_if_worth() {
  if (busy_ || !may_compact_ || lines_bytes_ <= std::max(least_to_compact, base_bytes_ / 2)) return;
  if (auto flushed = flush(); !flushed || busy_) return;
  ++figures_.compactions;
  make_whole();
}

/// Nothing is noted and not flushed: a sentence that is in the text must not follow as a line, too.
void Journal::make_whole() { replace_on_pool(snapshot(), {}); }

/// Of a snapshot the pool makes the text: a thousand clients' takes some milliseconds.
void Journal::replace_on_pool(std::optional<Manifest> snapshot, std::string text) {
  busy_ = true;
  auto shared = std::make_shared<std::string>(std::move(text));
  auto from = std::make_shared<std::optional<Manifest>>(std::move(snapshot));
  host_.run(manifest_queue,
            [this, alive = alive_, store = store_, shared, from]() -> std::function<void()> {
              const auto done = run_or_fail("the manifest", [&] {
                if (*from) *shared = serialize(**from);
                return store->replace(*shared);
              });
              return [this, alive, shared, from, done] {
                if (*alive) replaced(*from ? *shared : std::string(), done);
              };
            });
}

/// `text` is that of a snapshot, and empty where /run has it already.
void Journal::replaced(const std::string& text, const Result<void>& done) {
  busy_ = false;
  const auto lines = std::exchange(held_back_, {});
  stale_ = !done || std::exchange(whole_again_, false);
  if (done) {
    if (auto replaced_first = std::exchange(on_first_, nullptr)) replaced_first();
    if (!stale_ && !text.empty()) {
      if (auto written = host_.replace_manifest(text + lines); written) {
        cut_ = false;
        base_bytes_ = text.size();
        lines_bytes_ = lines.size();
      } else {
        log::warning("The manifest in /run was not made one text: ", written.error().message);
      }
    }
    if (!stale_ && !lines.empty()) stale_ = !store_->append(lines);
    if (stale_) return try_again();
  } else {
    log::warning("The manifest could not be put into preserved memory: ", done.error().message);
    schedule_again();
  }
  for (const auto& then : std::exchange(when_idle_, {})) then(done);
}

void Journal::schedule_again() {
  again_ = host_.after(retry_usec, [this] { try_again(); });
}

void Journal::try_again() {
  (void)flush();
  if (stale_ && !busy_) make_whole();
}

void Journal::when_idle(Then then) {
  if (idle()) return then({});
  when_idle_.push_back(std::move(then));
  if (!busy_) try_again();
}

}  // namespace handover::engine

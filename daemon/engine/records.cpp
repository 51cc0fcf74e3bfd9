// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/records.h"

#include <cerrno>
#include <utility>

#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// How often, and how many times, what the state directory's file system refuses is tried again.
/// Early in a boot /var may not be mounted, or not be writable yet.
constexpr std::uint64_t disk_retry_usec = 1'000'000;
constexpr unsigned most_tries = 300;

/// Losses come in swarms: one that is late has the next ones written with it.
constexpr std::uint64_t loss_pause_usec = 1'000'000;

struct Seen {
  bool later = false;  ///< it may be there in a moment
  bool mine = false;   ///< nobody needs the record
  std::optional<PendingUpdate> lost;
  std::optional<Error> unreadable;
};

/// It could not be read, or looked for: that may pass.
Seen not_seen(const Error& why) {
  Seen seen;
  seen.later = true;
  seen.unreadable = why;
  return seen;
}

/// (waits) What is there of the record that an earlier kernel left.
Seen see(Host& host, History& history, const std::string& boot_id, bool emulated) {
  Seen seen;
  seen.later = !host.state_is_mounted();
  const auto text = host.read_state(StateFile::pending);
  if (!text) {
    if (text.error().sys_errno == ENOENT) return seen;
    return not_seen(text.error());
  }
  seen.later = false;
  auto pending = parse_pending(*text);
  if (!pending) {
    log::warning("pending.json is ignored: ", pending.error().message);
    return seen;
  }
  if (auto loaded = history.load(host); !loaded) log::error(loaded.error().message);
  const bool same_kernel = pending->boot_id == boot_id && !emulated;
  if (lost_its_sessions(*pending, same_kernel, history.entries())) {
    seen.lost = std::move(*pending);
  } else {
    seen.mine = true;
    log::info("Update ", pending->id, " lost nothing that is not told: its record goes.");
  }
  return seen;
}

}  // namespace

void Records::load() {
  host_.run(disk_queue, [this, history = history_]() -> std::function<void()> {
    if (auto loaded = history->load(host_); !loaded) log::error(loaded.error().message);
    return [] {};
  });
}

void Records::read(std::uint32_t most, std::function<void(Result<std::string>)> then) {
  host_.run(disk_queue,
            [this, history = history_, most, then = std::move(then)]() -> std::function<void()> {
              auto text = std::make_shared<Result<std::string>>(
                  run_or_fail("reading the history", [&]() -> Result<std::string> {
                    if (auto loaded = history->load(host_); !loaded) {
                      log::error(loaded.error().message);
                    }
                    return history->to_json_text(most);
                  }));
              return [then, text] { then(std::move(*text)); };
            });
}

void Records::add(HistoryEntry entry, std::function<void()> then) {
  when_tried_.push_back(std::move(then));
  host_.run(disk_queue,
            [this, history = history_,
             shared = std::make_shared<HistoryEntry>(std::move(entry))]() -> std::function<void()> {
              if (shared->rehearsal) {
                // An earlier update tells how long a boot takes.
                if (auto loaded = history->load(host_); !loaded) {
                  log::error(loaded.error().message);
                }
              }
              history->add(std::move(*shared));
              return [] {};
            });
  history_tries_ = most_tries;
  write_history();
}

void Records::add_loss(std::uint64_t generation, std::string sentence) {
  host_.run(disk_queue,
            [history = history_, generation,
             sentence = std::move(sentence)]() mutable -> std::function<void()> {
              history->add_loss(generation, std::move(sentence));
              return [] {};
            });
  if (loss_alarm_) return;
  loss_alarm_ = host_.after(loss_pause_usec, [this] {
    loss_alarm_.reset();
    history_tries_ = most_tries;
    write_history();
  });
}

void Records::set_health(std::uint64_t generation, std::string health, std::string reason) {
  host_.run(disk_queue,
            [history = history_, generation, health = std::move(health),
             reason = std::move(reason)]() mutable -> std::function<void()> {
              history->set_health({generation, std::move(health), std::move(reason)});
              return [] {};
            });
  history_tries_ = most_tries;
  write_history();
}

void Records::write_history() {
  if (std::exchange(writing_, true)) {
    write_again_ = true;
    return;
  }
  host_.run(disk_queue, [this, alive = alive_, history = history_]() -> std::function<void()> {
    const auto done = run_or_fail("writing the history", [&] { return history->write(host_); });
    return [this, alive, done] {
      if (*alive) history_written(done);
    };
  });
}

void Records::history_written(const Result<void>& done) {
  writing_ = false;
  if (std::exchange(write_again_, false)) return write_history();
  if (!done && history_tries_ > 0) {
    --history_tries_;
    history_alarm_ = host_.after(disk_retry_usec, [this] { write_history(); });
    return tell_tried();
  }
  if (!done) log::error("The history cannot be written: ", done.error().message);
  if (done && !loss_alarm_ && on_written_) on_written_();
  // Not before: a power cut in between would leave no word of the update.
  if (std::exchange(pending_over_, false)) return remove_pending();
  tell_tried();
}

void Records::tell_tried() {
  for (const auto& then : std::exchange(when_tried_, {})) then();
}

void Records::pending_is_over() {
  // What was not looked at yet is another update's, and so is what was written since the look.
  if (!look_ && !place_taken_) pending_over_ = true;
}

void Records::write_pending(const PendingUpdate& pending, std::function<void()> then) {
  // What an earlier kernel left there is told before its place is taken.
  look_for_lost_now();
  pending_alarm_.reset();
  pending_over_ = false;
  pending_tries_ = 0;
  ++pending_writes_;
  host_.run(disk_queue,
            [this, text = serialize(pending), then = std::move(then)]() -> std::function<void()> {
              const auto written = run_or_fail("writing pending.json", [&] {
                return host_.replace_state(StateFile::pending, text);
              });
              if (!written) {
                log::warning("If the kexec ends in a cold boot, nothing will tell of it: ",
                             written.error().message);
              }
              return then;
            });
}

void Records::remove_pending() {
  pending_tries_ = pending_tries_ == 0 ? most_tries : pending_tries_;
  const auto writes = pending_writes_;
  host_.run(disk_queue, [this, alive = alive_, writes]() -> std::function<void()> {
    const auto removed = run_or_fail("removing pending.json",
                                     [&] { return host_.remove_state(StateFile::pending); });
    const bool gone = removed || (removed.error().sys_errno == ENOENT && host_.state_is_mounted());
    return [this, alive, writes, gone, removed] {
      if (!*alive) return;
      tell_tried();
      if (writes != pending_writes_) return;
      if (gone || --pending_tries_ == 0) {
        pending_tries_ = 0;
        if (!gone) log::warning(removed.error().message);
        return;
      }
      pending_alarm_ = host_.after(disk_retry_usec, [this] { remove_pending(); });
    };
  });
}

void Records::look_for_lost(const std::string& boot_id, bool emulated_kexec, Lost then) {
  look_ = Look{boot_id, emulated_kexec, std::move(then), most_tries, false};
  look();
}

void Records::look_for_lost_now() {
  if (!look_) return;
  look_->now = true;
  look();
}

void Records::look() {
  const auto writes = pending_writes_;
  host_.run(disk_queue,
            [this, alive = alive_, history = history_, boot_id = look_->boot_id,
             emulated = look_->emulated_kexec, writes]() -> std::function<void()> {
              auto result = std::make_shared<Result<Seen>>(run_or_fail(
                  "looking for pending.json",
                  [&]() -> Result<Seen> { return see(host_, *history, boot_id, emulated); }));
              return [this, alive, writes, result] {
                if (!*alive || !look_) return;
                const auto seen = *result ? std::move(**result) : not_seen(result->error());
                if (seen.later && !look_->now && look_->tries > 0) {
                  --look_->tries;
                  pending_alarm_ = host_.after(disk_retry_usec, [this] {
                    if (look_) look();
                  });
                  return;
                }
                if (seen.unreadable) log::warning(seen.unreadable->message);
                auto look = std::move(*look_);
                look_.reset();
                place_taken_ = writes != pending_writes_;
                if (seen.mine && !place_taken_) remove_pending();
                look.then(seen.lost);
                place_taken_ = false;
              };
            });
}

}  // namespace handover::engine

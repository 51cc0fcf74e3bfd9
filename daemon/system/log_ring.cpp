// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/log_ring.h"

#include <algorithm>
#include <utility>

#include "system/threads.h"

namespace handover::log {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How long the thread waits for a reader that is not there, at first and at most.
constexpr milliseconds first_delay(5);
constexpr milliseconds longest_delay(500);
constexpr milliseconds delay_in_flush(1);
constexpr milliseconds gathering_time(2);

/// What a line and each of its fields cost beside their characters.
constexpr std::size_t overhead = sizeof(Line);
constexpr std::size_t field_overhead = sizeof(std::string);

std::size_t size_of(const Line& line) {
  std::size_t size = overhead + line.text.size();
  for (const std::string& field : line.fields) size += field_overhead + field.size();
  return size;
}

Taken offer(const Sink& sink, const Line& line) noexcept {
  try {
    return sink(line);
  } catch (...) {
    return Taken::never;
  }
}

}  // namespace

Ring::~Ring() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool Ring::has_room(const Line& line) const {
  // Once lines were dropped, room is made first: one line tells of a whole gap.
  const std::size_t part = line.level >= Level::error ? 4 : untold_ > 0 ? 2 : 3;
  return lines_.size() < limits_.lines / 4 * part &&
         bytes_ + size_of(line) <= limits_.bytes / 4 * part;
}

void Ring::enqueue(Line line) {
  const std::size_t size = size_of(line);
  lines_.push_back(std::move(line));
  bytes_ += size;
  ++pushed_;
}

void Ring::tell_of_dropped() {
  Line note;
  note.level = Level::error;
  note.text = "Log lines were dropped here, because they came faster than they were taken: " +
              std::to_string(untold_) + ".";
  const EventInfo& info = info_of(Id::lines_dropped);
  note.fields = {"MESSAGE_ID=" + std::string(info.message_id),
                 std::string(field_name(Field::count)) + "=" + std::to_string(untold_)};
  enqueue(std::move(note));
  untold_ = 0;
}

void Ring::push(Line line) noexcept {
  const std::lock_guard lock(mutex_);
  const bool urgent = line.level >= Level::error;
  if (!has_room(line)) {
    ++dropped_;
    ++untold_;
    return;
  }
  try {
    // In front of this line, and behind the last one before the gap.
    if (untold_ > 0) tell_of_dropped();
    enqueue(std::move(line));
  } catch (...) {
    ++dropped_;
    ++untold_;
  }
  start_thread();
  urgent_ = urgent_ || urgent;
  if (!gathering_ || urgent || is_filling()) changed_.notify_one();
}

void Ring::start_thread() noexcept {
  if (thread_.joinable() || stop_) return;
  try {
    thread_ = system::start_thread("handoverd-log", [this] { write_all(); });
  } catch (...) {  // no thread now: the next line tries again
  }
}

bool Ring::flush(std::uint64_t usec) noexcept {
  const auto end = Clock::now() + std::chrono::microseconds(usec);
  std::unique_lock lock(mutex_);
  const std::uint64_t target = pushed_;
  ++flushing_;
  changed_.notify_one();
  const bool all = written_.wait_until(lock, end, [&] { return done_ >= target; });
  --flushing_;
  return all;
}

void Ring::finish(std::uint64_t usec) noexcept {
  if (!flush(usec)) return;
  std::thread ended;
  {
    const std::lock_guard lock(mutex_);
    if (!lines_.empty() || !thread_.joinable()) return;
    stop_ = true;
    ended = std::move(thread_);
  }
  changed_.notify_all();
  ended.join();
  const std::lock_guard lock(mutex_);
  stop_ = false;
  if (!lines_.empty()) start_thread();
}

void Ring::count_dropped() noexcept {
  const std::lock_guard lock(mutex_);
  ++dropped_;
  ++untold_;
}

std::uint64_t Ring::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

std::size_t Ring::waiting() const {
  const std::lock_guard lock(mutex_);
  return lines_.size();
}

/// After a line there are often more. To be woken for each would cost those who log more than the
/// lines themselves.
void Ring::gather(std::unique_lock<std::mutex>& lock) {
  urgent_ = false;
  gathering_ = true;
  changed_.wait_for(lock, gathering_time,
                    [this] { return stop_ || flushing_ > 0 || urgent_ || is_filling(); });
  gathering_ = false;
}

void Ring::write_all() {
  auto delay = first_delay;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !lines_.empty(); });
    if (stop_) return;
    const Line& line = lines_.front();  // push_back() moves no line of a deque
    lock.unlock();
    const Taken taken = offer(sink_, line);
    lock.lock();
    if (taken == Taken::later) {
      if (flushing_ > 0) {
        changed_.wait_for(lock, delay_in_flush, [this] { return stop_; });
      } else {
        changed_.wait_for(lock, delay, [this] { return stop_ || flushing_ > 0; });
        delay = std::min(delay * 2, longest_delay);
      }
      continue;
    }
    delay = first_delay;
    // Not `untold_`: a line about it would find the same sink.
    if (taken == Taken::never) ++dropped_;
    bytes_ -= size_of(line);
    lines_.pop_front();
    ++done_;
    if (lines_.empty() && untold_ > 0) tell_of_dropped();
    written_.notify_all();
    if (lines_.empty()) gather(lock);
  }
}

}  // namespace handover::log

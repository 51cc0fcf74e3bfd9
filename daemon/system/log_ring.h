// SPDX-License-Identifier: LGPL-2.1-or-later
// A bounded ring of log lines and the thread that writes them: a line never waits for its reader.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "system/log.h"

namespace handover::log {

struct Line {
  Level level = Level::info;
  std::string text;
  std::vector<std::string> fields;  ///< "NAME=value", as the journal takes them
  std::uint64_t boottime_usec = 0;  ///< when it was written, CLOCK_BOOTTIME
};

enum class Taken {
  yes,
  later,  ///< the reader is not there or is full: try again
  never,  ///< this line cannot be written; the next one may
};
/// Writes one line. It runs on the ring's thread, one line at a time.
using Sink = std::function<Taken(const Line&)>;

/// Safe to use from any thread. A line that finds the ring full is dropped: what came first tells
/// the cause. Lines below `error` fill three quarters of the ring at most, so that a flood of them
/// leaves room for errors.
class Ring {
 public:
  struct Limits {
    std::size_t lines = 4096;
    std::size_t bytes = std::size_t{1} << 20;
  };

  explicit Ring(Sink sink) : Ring(std::move(sink), Limits{}) {}
  Ring(Sink sink, Limits limits) : sink_(std::move(sink)), limits_(limits) {}
  /// Waits for the line that is being written, drops the others: flush() first.
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  /// Never waits for the sink. The thread is started by the first line.
  void push(Line line) noexcept;
  /// Waits until everything pushed before is written, `usec` at most; false if it is not.
  bool flush(std::uint64_t usec) noexcept;
  /// flush(), and the end of the thread if all is written; the next line starts another.
  void finish(std::uint64_t usec) noexcept;

  /// A line that could not even be made, for lack of memory.
  void count_dropped() noexcept;
  /// Lines dropped so far.
  [[nodiscard]] std::uint64_t dropped() const;
  /// Lines not yet written.
  [[nodiscard]] std::size_t waiting() const;

 private:
  void write_all();
  void gather(std::unique_lock<std::mutex>& lock);
  void start_thread() noexcept;
  [[nodiscard]] bool is_filling() const { return lines_.size() >= limits_.lines / 4; }
  [[nodiscard]] bool has_room(const Line& line) const;
  void enqueue(Line line);
  void tell_of_dropped();

  const Sink sink_;
  const Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;  ///< a line came, a flush began, the end
  std::condition_variable written_;
  std::deque<Line> lines_;
  std::size_t bytes_ = 0;
  std::uint64_t pushed_ = 0;
  std::uint64_t done_ = 0;  ///< of `pushed_`: written or given up
  std::uint64_t dropped_ = 0;
  std::uint64_t untold_ = 0;  ///< dropped, and no line says so yet
  unsigned flushing_ = 0;
  bool gathering_ = false;  ///< the thread wants to be woken for what is urgent alone
  bool urgent_ = false;
  bool stop_ = false;
  std::thread thread_;
};

/// The daemon's log goes through `sink` from now on; what was logged before is flushed for at most
/// a second. For tests and for set_up().
void use_sink(Sink sink);

/// Writes to stderr, "handoverd: warning: TEXT".
Sink stderr_sink();
/// Writes to journald by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), without waiting.
Sink journal_sink(std::string socket = "/run/systemd/journal/socket");

}  // namespace handover::log

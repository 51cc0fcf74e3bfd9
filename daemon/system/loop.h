// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's event loop (sd-event) and its timers.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::system {

class Loop;

/// When a timer that is due runs.
enum class Priority {
  normal,
  /// When nothing else is left to do: all that has arrived was read before. For time limits, so
  /// that an answer that is here already counts, however late the loop is.
  late,
};

/// Cancels its timer when destroyed. Must not outlive the loop.
class Timer {
 public:
  Timer() = default;
  explicit operator bool() const { return state_ != nullptr; }
  void cancel() { state_.reset(); }

 private:
  friend class Loop;
  struct State;
  std::shared_ptr<State> state_;
};

/// A turn of the loop lasts from its waking up until it sleeps again. Everything but post() belongs
/// to the thread that runs the loop. What a callback throws is logged and ends that callback alone.
class Loop {
 public:
  /// Throws std::system_error if the kernel refuses an epoll instance: nothing works without it.
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  [[nodiscard]] sd_event* get() const { return event_; }

  /// Until exit(); returns its code, or a negative errno. Use this and not sd_event_run(): late
  /// timers and at_turn_end() live here.
  int run();
  void exit(int code);

  /// Runs `callback` once, `usec` from now.
  [[nodiscard]] Timer after(std::uint64_t usec, std::function<void()> callback,
                            Priority priority = Priority::normal);
  /// From any thread: `callback` runs in the loop, in the order of the calls.
  void post(std::function<void()> callback);
  /// Runs `callback` once, when everything of this turn is done, late timers included; or 10 ms
  /// after the last time, so that a flood of messages cannot put it off.
  void at_turn_end(std::function<void()> callback);
  /// Tells the service manager that the loop turns, from now on and as often as it asks for that
  /// (WatchdogSec=); without waiting for it. io.
  Result<void> feed_watchdog();
  /// Runs `callback` at each SIGTERM and SIGINT, with how many there were. Blocks them in this
  /// thread: call it before others are started.
  void on_terminate(std::function<void(unsigned nth)> callback);

  [[nodiscard]] std::uint64_t turns() const { return turns_; }
  /// Turns of more than 20 ms.
  [[nodiscard]] std::uint64_t late_turns() const { return late_turns_; }
  [[nodiscard]] std::uint64_t longest_turn_usec() const { return longest_turn_usec_; }
  /// The longest time that a single source of events took.
  [[nodiscard]] std::uint64_t longest_call_usec() const { return longest_call_usec_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Callbacks = std::deque<std::function<void()>>;
  friend struct Timer::State;
  struct Unref {
    void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
  };

  static int on_time(sd_event_source*, std::uint64_t, void* userdata);
  static int on_posted(sd_event_source*, int fd, std::uint32_t, void* userdata);
  static int on_signal(sd_event_source*, const struct signalfd_siginfo*, void* userdata);

  int step();
  int dispatch();
  int sleep();
  void arm();
  void run_due_timers();
  bool run_late_timer();
  bool end_turn_callbacks();
  void count_turn(Clock::time_point now);
  void wake();

  sd_event* event_ = nullptr;
  UniqueFd wake_;
  /// All timers have this source: a call to a client sets one and lets it go, and sd-event would
  /// make and end a source for each.
  std::unique_ptr<sd_event_source, Unref> time_;
  std::multimap<Clock::time_point, Timer::State*> timers_;  ///< not due yet
  Clock::time_point armed_for_ = Clock::time_point::max();  ///< what `time_` is set to; max: off
  std::deque<std::weak_ptr<Timer::State>> late_;            ///< due, and waiting for quiet
  Clock::time_point late_since_;
  Callbacks turn_end_;
  Clock::time_point turn_end_ran_;
  Timer watchdog_;
  std::function<void(unsigned)> terminate_;
  unsigned terminations_ = 0;

  Clock::time_point turn_began_;
  Clock::time_point late_told_;
  std::uint64_t turns_ = 0;
  std::uint64_t late_turns_ = 0;
  std::uint64_t longest_turn_usec_ = 0;
  std::uint64_t longest_call_usec_ = 0;

  std::mutex mutex_;
  Callbacks posted_;
};

}  // namespace handover::system

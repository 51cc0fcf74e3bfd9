// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's event loop (sd-event), its timers, and the one worker thread for what takes long.
#pragma once

#include <systemd/sd-event.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::system {

/// Cancels its timer when destroyed.
class Timer {
 public:
  Timer() = default;
  explicit operator bool() const { return source_ != nullptr; }
  void cancel() { source_.reset(); }

 private:
  friend class Loop;
  struct Unref {
    void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
  };
  std::unique_ptr<std::function<void()>> callback_;
  std::unique_ptr<sd_event_source, Unref> source_;
};

/// Everything but post() belongs to the thread that runs the loop.
class Loop {
 public:
  /// Throws std::system_error if the kernel refuses an epoll instance: nothing works without it.
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  [[nodiscard]] sd_event* get() const { return event_; }

  /// Until exit(); returns its code, or a negative errno.
  int run();
  void exit(int code);

  /// Runs `callback` once, `usec` from now. The timer must not outlive the loop.
  [[nodiscard]] Timer after(std::uint64_t usec, std::function<void()> callback);
  /// From any thread: `callback` runs in the loop, in the order of the calls.
  void post(std::function<void()> callback);
  /// Tells the service manager that the loop turns, if it asks for that (WatchdogSec=). io.
  Result<void> feed_watchdog();
  /// SIGTERM and SIGINT (blocked in every thread beforehand) end the loop with 0.
  void exit_on_signals();

 private:
  static int on_posted(sd_event_source*, int fd, std::uint32_t, void* userdata);

  sd_event* event_ = nullptr;
  UniqueFd wake_;
  std::mutex mutex_;
  std::deque<std::function<void()>> posted_;
};

/// One thread; jobs run one after the other. The destructor waits for the running job.
class Worker {
 public:
  explicit Worker(Loop& loop);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// `job` runs on the thread; the function that it returns then runs in the loop.
  void run(std::function<std::function<void()>()> job);

 private:
  void work();

  Loop& loop_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<std::function<void()>()>> jobs_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace handover::system

// SPDX-License-Identifier: LGPL-2.1-or-later
// Sources of an sd-event loop that have one owner, and the clock that its timers go by.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <handover/handover.hpp>
#include <initializer_list>
#include <memory>
#include <vector>

namespace handover::common {

using Source =
    std::unique_ptr<sd_event_source, client::detail::Unreferencer<&sd_event_source_disable_unref>>;
using Loop = std::unique_ptr<sd_event, client::detail::Unreferencer<&sd_event_unref>>;

client::Result<Loop> make_loop();

/// CLOCK_MONOTONIC, in microseconds.
std::uint64_t now_usec();

/// Calls `expired` once for each start().
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  client::Result<void> attach(sd_event* event, std::function<void()> expired);
  void start(std::uint64_t in_usec);
  void stop();

 private:
  std::function<void()> expired_;
  Source source_;
};

/// Calls `handler` with each of the signals that comes. They must be blocked.
class Signals {
 public:
  Signals() = default;
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  client::Result<void> attach(sd_event* event, std::initializer_list<int> signals,
                              std::function<void(int)> handler);

 private:
  std::function<void(int)> handler_;
  std::vector<Source> sources_;
};

/// Calls `ended` once the process, a child of ours, has ended. SIGCHLD must be blocked. Until then,
/// or forget(), the process is nobody else's to wait for.
class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  client::Result<void> watch(sd_event* event, pid_t process,
                             std::function<void(const siginfo_t&)> ended);
  void forget();

 private:
  std::function<void(const siginfo_t&)> ended_;
  Source source_;
};

}  // namespace handover::common

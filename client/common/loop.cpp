// SPDX-License-Identifier: LGPL-2.1-or-later
#include "loop.h"

#include <sys/signalfd.h>
#include <sys/wait.h>

#include <ctime>

#include "file.h"

namespace handover::common {

client::Result<Loop> make_loop() {
  sd_event* event = nullptr;
  const int r = sd_event_new(&event);
  if (r < 0) return errno_error("Cannot make an event loop", -r);
  return Loop(event);
}

std::uint64_t now_usec() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

client::Result<void> Timer::attach(sd_event* event, std::function<void()> expired) {
  expired_ = std::move(expired);
  const auto handler = [](sd_event_source*, std::uint64_t, void* userdata) {
    static_cast<Timer*>(userdata)->expired_();
    return 0;
  };
  sd_event_source* source = nullptr;
  int r = sd_event_add_time(event, &source, CLOCK_MONOTONIC, 0, 1, handler, this);
  if (r >= 0) {
    source_.reset(source);
    r = sd_event_source_set_enabled(source, SD_EVENT_OFF);
  }
  if (r < 0) return errno_error("Cannot make a timer", -r);
  return {};
}

void Timer::start(std::uint64_t in_usec) {
  sd_event_source_set_time_relative(source_.get(), in_usec);
  sd_event_source_set_enabled(source_.get(), SD_EVENT_ONESHOT);
}

void Timer::stop() { sd_event_source_set_enabled(source_.get(), SD_EVENT_OFF); }

client::Result<void> Signals::attach(sd_event* event, std::initializer_list<int> signals,
                                     std::function<void(int)> handler) {
  handler_ = std::move(handler);
  const auto came = [](sd_event_source*, const signalfd_siginfo* info, void* userdata) {
    static_cast<Signals*>(userdata)->handler_(static_cast<int>(info->ssi_signo));
    return 0;
  };
  for (const int signal : signals) {
    sd_event_source* source = nullptr;
    const int r = sd_event_add_signal(event, &source, signal, came, this);
    if (r < 0) return errno_error("Cannot watch for signals", -r);
    sources_.emplace_back(source);
  }
  return {};
}

client::Result<void> Child::watch(sd_event* event, pid_t process,
                                  std::function<void(const siginfo_t&)> ended) {
  ended_ = std::move(ended);
  const auto handler = [](sd_event_source*, const siginfo_t* info, void* userdata) {
    // A copy: another process may be watched from in there.
    const auto call = static_cast<Child*>(userdata)->ended_;
    call(*info);
    return 0;
  };
  sd_event_source* source = nullptr;
  const int r = sd_event_add_child(event, &source, process, WEXITED, handler, this);
  if (r < 0) {
    return errno_error("Cannot watch process " + std::to_string(process), -r);
  }
  source_.reset(source);
  return {};
}

void Child::forget() { source_.reset(); }

}  // namespace handover::common

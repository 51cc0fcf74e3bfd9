// SPDX-License-Identifier: LGPL-2.1-or-later
#include "event_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <utility>

namespace handover::test {

namespace {

using Callback = std::function<void()>;

constexpr std::chrono::milliseconds between_looks{20};

void destroy(void* userdata) {
  const std::unique_ptr<Callback> owned(static_cast<Callback*>(userdata));
}

int on_time(sd_event_source*, std::uint64_t, void* userdata) {
  // A copy: the callback may destroy its own source.
  const auto callback = *static_cast<Callback*>(userdata);
  callback();
  return 0;
}

int on_readable(sd_event_source*, int, std::uint32_t, void* userdata) {
  const auto callback = *static_cast<Callback*>(userdata);
  callback();
  return 0;
}

SourcePtr own(sd_event_source* source) {
  must(sd_event_source_set_destroy_callback(source, destroy), "destroy callback");
  return SourcePtr(source);
}

std::uint64_t usec(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(std::chrono::microseconds(time).count());
}

}  // namespace

int must(int result, const char* what) {
  if (result < 0) throw std::system_error(-result, std::generic_category(), what);
  return result;
}

EventLoop::EventLoop() { must(sd_event_new(&event_), "sd_event_new"); }

EventLoop::~EventLoop() { sd_event_unref(event_); }

bool EventLoop::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    // `done` may ask the daemon, whose answer no event announces: it is asked again after a while.
    must(sd_event_run(event_, usec(std::min(left, between_looks))), "sd_event_run");
  }
  return true;
}

void EventLoop::run_pending() {
  while (must(sd_event_run(event_, 0), "sd_event_run") > 0) {
  }
}

SourcePtr EventLoop::after(std::chrono::milliseconds delay, std::function<void()> callback) {
  auto held = std::make_unique<Callback>(std::move(callback));
  sd_event_source* source = nullptr;
  must(sd_event_add_time_relative(event_, &source, CLOCK_MONOTONIC, usec(delay), 1, on_time,
                                  held.get()),
       "a timer");
  [[maybe_unused]] auto* const owned_by_source = held.release();
  return own(source);
}

SourcePtr EventLoop::readable(int fd, std::function<void()> callback) {
  auto held = std::make_unique<Callback>(std::move(callback));
  sd_event_source* source = nullptr;
  must(sd_event_add_io(event_, &source, fd, EPOLLIN, on_readable, held.get()), "watching a file");
  [[maybe_unused]] auto* const owned_by_source = held.release();
  return own(source);
}

}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace handover::system {

namespace {

void check(int result, const char* what) {
  if (result < 0) throw std::system_error(-result, std::generic_category(), what);
}

int on_timer(sd_event_source*, std::uint64_t, void* userdata) {
  // Moved out first: the callback may destroy the timer that holds it.
  const auto callback = std::move(*static_cast<std::function<void()>*>(userdata));
  callback();
  return 0;
}

}  // namespace

Loop::Loop() {
  check(sd_event_default(&event_), "sd_event_default");
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  check(wake_ ? 0 : -errno, "eventfd");
  check(sd_event_add_io(event_, nullptr, wake_.get(), EPOLLIN, on_posted, this), "sd_event_add_io");
}

Result<void> Loop::feed_watchdog() {
  const int result = sd_event_set_watchdog(event_, 1);
  if (result < 0) {
    return fail(ErrorCode::io, "The service manager's watchdog cannot be fed: " +
                                   std::generic_category().message(-result) + ".");
  }
  return {};
}

Loop::~Loop() { sd_event_unref(event_); }

int Loop::run() { return sd_event_loop(event_); }

void Loop::exit(int code) { sd_event_exit(event_, code); }

Timer Loop::after(std::uint64_t usec, std::function<void()> callback) {
  Timer timer;
  timer.callback_ = std::make_unique<std::function<void()>>(std::move(callback));
  sd_event_source* source = nullptr;
  check(sd_event_add_time_relative(event_, &source, CLOCK_MONOTONIC, usec, 1000, on_timer,
                                   timer.callback_.get()),
        "sd_event_add_time_relative");
  timer.source_.reset(source);
  return timer;
}

void Loop::post(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(callback));
  }
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, so the loop wakes up anyway.
  [[maybe_unused]] const auto written = write(wake_.get(), &one, sizeof one);
}

int Loop::on_posted(sd_event_source*, int fd, std::uint32_t, void* userdata) {
  auto& loop = *static_cast<Loop*>(userdata);
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = read(fd, &count, sizeof count);
  std::deque<std::function<void()>> callbacks;
  {
    const std::lock_guard lock(loop.mutex_);
    callbacks.swap(loop.posted_);
  }
  for (const auto& callback : callbacks) callback();
  return 0;
}

void Loop::exit_on_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  check(sd_event_add_signal(event_, nullptr, SIGTERM, nullptr, nullptr), "sd_event_add_signal");
  check(sd_event_add_signal(event_, nullptr, SIGINT, nullptr, nullptr), "sd_event_add_signal");
}

Worker::Worker(Loop& loop) : loop_(loop), thread_([this] { work(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  ready_.notify_one();
  thread_.join();
}

void Worker::run(std::function<std::function<void()>()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  ready_.notify_one();
}

void Worker::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ready_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
    if (stop_) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    loop_.post(job());
    job = nullptr;
    lock.lock();
  }
}

}  // namespace handover::system

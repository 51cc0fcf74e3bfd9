// SPDX-License-Identifier: LGPL-2.1-or-later
#include "worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

#include "common/file.h"

namespace handover::fleet {

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
    waiting_.clear();
    if (running_) *running_ = true;
  }
  there_is_more_.notify_all();
  if (thread_.joinable()) thread_.join();
}

client::Result<void> Worker::start(sd_event* event) {
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return common::errno_error("Cannot make an event descriptor");
  sd_event_source* source = nullptr;
  const int r = sd_event_add_io(
      event, &source, wake_.get(), EPOLLIN,
      [](sd_event_source*, int, std::uint32_t, void* userdata) {
        static_cast<Worker*>(userdata)->collect();
        return 0;
      },
      this);
  if (r < 0) return common::errno_error("Cannot watch an event descriptor", -r);
  source_.reset(source);
  // Signals are the loop's.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

std::shared_ptr<std::atomic<bool>> Worker::run(Job job) {
  auto given_up = std::make_shared<std::atomic<bool>>(false);
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(job), given_up});
  }
  there_is_more_.notify_one();
  return given_up;
}

void Worker::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    there_is_more_.wait(lock, [&] { return ends_ || !waiting_.empty(); });
    if (ends_) return;
    auto entry = std::move(waiting_.front());
    waiting_.pop_front();
    running_ = entry.given_up;
    lock.unlock();
    auto after = entry.job(*entry.given_up);
    lock.lock();
    running_.reset();
    ended_.push_back(std::move(after));
    const std::uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof(one));
  }
}

void Worker::collect() {
  std::uint64_t count = 0;
  (void)!read(wake_.get(), &count, sizeof(count));
  std::vector<After> ended;
  {
    const std::lock_guard lock(mutex_);
    ended.swap(ended_);
  }
  for (const auto& after : ended) after();
}

}  // namespace handover::fleet

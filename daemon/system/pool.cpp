// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/pool.h"

#include <algorithm>
#include <system_error>
#include <typeinfo>
#include <utility>

#include "system/log.h"
#include "system/threads.h"
#include "system/trampoline.h"

namespace handover::system {

Pool::Pool(Loop& loop, unsigned threads) : loop_(loop), most_threads_(std::max(threads, 1U)) {
  threads_.reserve(most_threads_);
  start_thread();
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Pool::make_ready(std::uint64_t key, const Queue& queue) {
  (queue.hurried ? hurried_ : ready_).push_back(key);
}

std::uint64_t Pool::take_ready() {
  auto& from = hurried_.empty() ? ready_ : hurried_;
  const std::uint64_t key = from.front();
  from.pop_front();
  return key;
}

void Pool::start_thread() {
  threads_.push_back(system::start_thread("handoverd-pool", [this] { work(); }));
}

void Pool::start_thread_if_useful() {
  const std::size_t wanted = busy_ + ready_.size() + hurried_.size();
  if (threads_.size() >= std::min<std::size_t>(wanted, most_threads_)) return;
  try {
    start_thread();
  } catch (const std::system_error& error) {
    log::warning("Another thread cannot be started, the others do its work: ", error.what(), ".");
  }
}

void Pool::run(std::uint64_t queue, Job job) {
  const std::lock_guard lock(mutex_);
  Queue& in = queues_[queue];
  in.jobs.push_back(std::move(job));
  ++waiting_;
  if (!in.running && in.jobs.size() == 1) make_ready(queue, in);
  start_thread_if_useful();
  changed_.notify_one();
}

void Pool::hurry(std::uint64_t queue) {
  const std::lock_guard lock(mutex_);
  const auto found = queues_.find(queue);
  if (found == queues_.end() || found->second.jobs.empty() || found->second.hurried) return;
  found->second.hurried = true;
  if (found->second.running) return;
  ready_.erase(std::find(ready_.begin(), ready_.end(), queue));
  hurried_.push_back(queue);
}

std::size_t Pool::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

unsigned Pool::busy() const {
  const std::lock_guard lock(mutex_);
  return busy_;
}

void Pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !ready_.empty() || !hurried_.empty(); });
    if (stop_) return;
    const std::uint64_t key = take_ready();
    Queue& queue = queues_.at(key);  // its address stays: only this thread erases it while it runs
    Job job = std::move(queue.jobs.front());
    queue.jobs.pop_front();
    queue.running = true;
    --waiting_;
    ++busy_;
    lock.unlock();

    std::function<void()> result;
    const std::type_info& type = job.target_type();
    try {
      result = job();
      job = nullptr;  // what it holds is destroyed without the lock
    } catch (...) {
      log_exception(type);
    }
    // Posted before the queue's next job begins: results stay in order.
    if (result) loop_.post(std::move(result));

    lock.lock();
    --busy_;
    queue.running = false;
    if (queue.jobs.empty()) {
      queues_.erase(key);
    } else {
      make_ready(key, queue);
      changed_.notify_one();
    }
  }
}

}  // namespace handover::system

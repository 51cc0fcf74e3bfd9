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

Pool::Pool(Loop& loop, unsigned threads)
    : loop_(loop),
      most_threads_(std::max(threads, 1U)),
      most_of_one_(std::max(most_threads_ / 2, 1U)),
      most_of_owners_(most_threads_ - most_threads_ / 4) {
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

void Pool::wait_in(Keys& keys, std::uint64_t key, Queue& queue) {
  keys.push_back(key);
  queue.waits_in = &keys;
}

void Pool::make_ready(std::uint64_t key, Queue& queue) {
  wait_in(queue.hurried ? hurried_ : ready_, key, queue);
}

/// Where it has to wait, if its owner, or all of them, have as many threads as they may.
Pool::Keys* Pool::holds_back(const Queue& queue) {
  if (queue.owner == nullptr) return nullptr;
  if (queue.owner->running >= most_of_one_) return &queue.owner->held;
  return running_of_owners_ >= most_of_owners_ ? &held_ : nullptr;
}

/// nullptr: none may run now.
Pool::Queue* Pool::take_ready(std::uint64_t& key) {
  for (;;) {
    if (hurried_.empty() && ready_.empty()) {
      if (held_.empty() || running_of_owners_ >= most_of_owners_) return nullptr;
      release(held_);
    }
    auto& from = hurried_.empty() ? ready_ : hurried_;
    key = from.front();
    from.pop_front();
    Queue& queue = queues_.at(key);
    auto* const held = holds_back(queue);
    if (held == nullptr) return &queue;
    wait_in(*held, key, queue);
    // It was let go for a thread that its owner may not have: that is for the next of another.
    if (held != &held_ && running_of_owners_ < most_of_owners_) release(held_);
  }
}

void Pool::begin(Queue& queue) {
  queue.waits_in = nullptr;
  queue.running = true;
  ++busy_;
  if (queue.owner == nullptr) return;
  ++queue.owner->running;
  ++running_of_owners_;
}

/// The first that waited there is the next.
void Pool::release(Keys& held) {
  if (held.empty()) return;
  const auto key = held.front();
  held.pop_front();
  Queue& queue = queues_.at(key);
  auto& to = queue.hurried ? hurried_ : ready_;
  to.push_front(key);
  queue.waits_in = &to;
  changed_.notify_one();
}

void Pool::end(std::uint64_t key, Queue& queue) {
  --busy_;
  queue.running = false;
  Owner* const owner = queue.owner;
  if (queue.jobs.empty()) {
    queues_.erase(key);
    if (owner != nullptr) --owner->queues;
  } else {
    make_ready(key, queue);  // this thread looks there next
  }
  if (owner == nullptr) return;
  --owner->running;
  --running_of_owners_;
  release(owner->held);
  release(held_);
  if (owner->queues == 0) owners_.erase(std::string(owner->name));
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

void Pool::run(std::uint64_t queue, Job job, const std::string& owner) {
  const std::lock_guard lock(mutex_);
  const auto [at, is_new] = queues_.try_emplace(queue);
  Queue& in = at->second;
  if (is_new && !owner.empty()) {
    in.owner = &owners_[owner];
    in.owner->name = owner;
    ++in.owner->queues;
  }
  in.jobs.push_back(std::move(job));
  ++waiting_;
  // Whoever works on the queue, or takes it, takes this job, too.
  if (in.running || in.jobs.size() > 1) return;
  make_ready(queue, in);
  start_thread_if_useful();
  changed_.notify_one();
}

void Pool::hurry(std::uint64_t queue) {
  const std::lock_guard lock(mutex_);
  const auto found = queues_.find(queue);
  if (found == queues_.end() || found->second.jobs.empty() || found->second.hurried) return;
  Queue& hurried = found->second;
  hurried.hurried = true;
  if (hurried.running) return;
  Keys& keys = *hurried.waits_in;
  keys.erase(std::find(keys.begin(), keys.end(), queue));
  // Its owner's threads, if it waits for one of these, do not become more.
  if (&keys == &ready_) return make_ready(queue, hurried);
  keys.push_front(queue);
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
    std::uint64_t key = 0;
    Queue* const queue = take_ready(key);  // its address stays: only this thread erases it now
    if (queue == nullptr) continue;
    Job job = std::move(queue->jobs.front());
    queue->jobs.pop_front();
    --waiting_;
    begin(*queue);
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
    end(key, *queue);
  }
}

}  // namespace handover::system

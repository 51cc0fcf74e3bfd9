// SPDX-License-Identifier: LGPL-2.1-or-later
// A few threads for what would hold up the event loop, with one queue for each thing worked on.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "system/loop.h"

namespace handover::system {

/// Jobs of one queue run one after the other, in the order of run(); jobs of different queues run
/// at the same time, and take turns where there are more queues than threads. What a job throws is
/// logged and ends that job alone. Any thread may call; must not outlive the loop.
class Pool {
 public:
  using Job = std::function<std::function<void()>()>;

  /// At most `threads` (1 or more). The first is started here (throws std::system_error), each of
  /// the others when there is work for it.
  Pool(Loop& loop, unsigned threads);
  /// Waits for the jobs that run; those that wait are dropped. What finished jobs returned may
  /// still run in the loop.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// `job` runs on a thread, after the earlier jobs of `queue`; the function that it returns, if
  /// any, then runs in the loop, in the same order.
  void run(std::uint64_t queue, Job job);
  /// The jobs that wait in `queue` come before those of other queues.
  void hurry(std::uint64_t queue);

  /// Jobs that have not begun.
  [[nodiscard]] std::size_t waiting() const;
  /// Jobs that run now.
  [[nodiscard]] unsigned busy() const;

 private:
  struct Queue {
    std::deque<Job> jobs;
    bool running = false;
    bool hurried = false;
  };

  void work();
  void make_ready(std::uint64_t key, const Queue& queue);
  std::uint64_t take_ready();
  void start_thread();
  void start_thread_if_useful();

  Loop& loop_;
  const unsigned most_threads_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::uint64_t, Queue> queues_;  ///< with jobs, or running
  std::deque<std::uint64_t> ready_;                  ///< with jobs, not running
  std::deque<std::uint64_t> hurried_;                ///< as ready_, and before it
  std::size_t waiting_ = 0;
  unsigned busy_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

/// A pool of one thread and one queue.
class Worker {
 public:
  explicit Worker(Loop& loop) : pool_(loop, 1) {}

  /// `job` runs on the thread; the function that it returns then runs in the loop.
  void run(Pool::Job job) { pool_.run(0, std::move(job)); }

 private:
  Pool pool_;
};

}  // namespace handover::system

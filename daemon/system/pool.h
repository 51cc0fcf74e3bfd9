// SPDX-License-Identifier: LGPL-2.1-or-later
// A few threads for what would hold up the event loop, with one queue for each thing worked on.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "system/loop.h"

namespace handover::system {

/// Jobs of one queue run one after the other, in the order of run(); jobs of different queues run
/// at the same time, and take turns where there are more queues than threads. What a job throws is
/// logged and ends that job alone. Any thread may call; must not outlive the loop.
///
/// A job may be an owner's: what it waits for may be in his hands. One owner has at most half of
/// the threads, and all of them together leave a quarter to the daemon's own jobs, so that nobody's
/// jobs that do not come to an end keep all others waiting. The owner's further queues wait their
/// turn.
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
  /// any, then runs in the loop, in the same order. `owner`: whose queue it is; "": the daemon's.
  void run(std::uint64_t queue, Job job, const std::string& owner = "");
  /// The jobs that wait in `queue` come before those of other queues.
  void hurry(std::uint64_t queue);

  /// Jobs that have not begun.
  [[nodiscard]] std::size_t waiting() const;
  /// Jobs that run now.
  [[nodiscard]] unsigned busy() const;

 private:
  using Keys = std::deque<std::uint64_t>;
  struct Owner {
    std::string name;
    std::size_t queues = 0;
    unsigned running = 0;
    Keys held;  ///< its queues that wait until it has a thread less
  };
  struct Queue {
    std::deque<Job> jobs;
    bool running = false;
    bool hurried = false;
    Owner* owner = nullptr;  ///< nullptr: the daemon
    Keys* waits_in = nullptr;
  };

  void work();
  static void wait_in(Keys& keys, std::uint64_t key, Queue& queue);
  void make_ready(std::uint64_t key, Queue& queue);
  Queue* take_ready(std::uint64_t& key);
  Keys* holds_back(const Queue& queue);
  void begin(Queue& queue);
  void end(std::uint64_t key, Queue& queue);
  void release(Keys& held);
  void start_thread();
  void start_thread_if_useful();

  Loop& loop_;
  const unsigned most_threads_;
  const unsigned most_of_one_;     ///< threads for one owner
  const unsigned most_of_owners_;  ///< threads for all owners
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::uint64_t, Queue> queues_;  ///< with jobs, or running
  std::unordered_map<std::string, Owner> owners_;    ///< of these
  Keys ready_;                                       ///< with jobs, not running
  Keys hurried_;                                     ///< as ready_, and before it
  Keys held_;  ///< ready, but for the threads that are the daemon's own
  unsigned running_of_owners_ = 0;
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

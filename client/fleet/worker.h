// SPDX-License-Identifier: LGPL-2.1-or-later
// A thread for what takes long, so that the client's loop never waits. Jobs run one after the
// other.
//
// Threads: an object belongs to the loop's; jobs run on the worker's own.
#pragma once

#include <systemd/sd-event.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <handover/handover.hpp>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/loop.h"

namespace handover::fleet {

class Worker {
 public:
  /// What the loop does when the job has ended.
  using After = std::function<void()>;
  /// `given_up` becomes true when nobody wants the job's result any more.
  using Job = std::function<After(const std::atomic<bool>& given_up)>;

  Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  /// Gives up all jobs, and waits for the one that runs.
  ~Worker();

  client::Result<void> start(sd_event* event);
  /// The flag by which to give it up; then its After is still called.
  std::shared_ptr<std::atomic<bool>> run(Job job);

 private:
  struct Entry {
    Job job;
    std::shared_ptr<std::atomic<bool>> given_up;
  };
  void work();
  void collect();

  client::Fd wake_;
  common::Source source_;
  std::mutex mutex_;
  std::condition_variable there_is_more_;
  std::deque<Entry> waiting_;
  std::shared_ptr<std::atomic<bool>> running_;
  std::vector<After> ended_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace handover::fleet

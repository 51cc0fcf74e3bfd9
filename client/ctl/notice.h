// SPDX-License-Identifier: LGPL-2.1-or-later
// A line for the person who waits, if an answer takes long.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace handover::ctl {

/// Prints it on standard error if it lives for two seconds. Once a process.
class Notice {
 public:
  Notice();
  ~Notice();
  Notice(const Notice&) = delete;
  Notice& operator=(const Notice&) = delete;

  /// For programs that read standard error.
  static void silence();

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace handover::ctl

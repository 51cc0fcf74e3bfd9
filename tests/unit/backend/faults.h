// SPDX-License-Identifier: LGPL-2.1-or-later
// What goes wrong at which call of a fake kernel.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <utility>

namespace handover::backend::test {

/// Any thread may call it.
class Faults {
 public:
  /// The `nth` call from now (1 is the next) and `times` - 1 after it fail with `sys_errno` and do
  /// nothing else.
  void fail_call(int nth, int sys_errno, int times = 1) {
    const std::lock_guard lock(mutex_);
    calls_ = 0;
    first_ = nth;
    times_ = times;
    errno_ = sys_errno;
  }
  /// The `nth` call from now takes as long as `wait` does, and nothing else waits for it.
  void delay_call(int nth, std::function<void()> wait) {
    const std::lock_guard lock(mutex_);
    calls_ = 0;
    slow_ = nth;
    wait_ = std::move(wait);
  }
  void none() {
    const std::lock_guard lock(mutex_);
    calls_ = 0;
    first_ = 0;
    slow_ = 0;
  }
  /// Since the last call of the above, or since the beginning.
  [[nodiscard]] int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

  /// At the beginning of each call: the errno that it fails with, if it does.
  std::optional<int> next() {
    std::function<void()> wait;
    std::optional<int> failure;
    {
      const std::lock_guard lock(mutex_);
      ++calls_;
      if (calls_ == slow_) wait = wait_;
      if (first_ > 0 && calls_ >= first_ && calls_ < first_ + times_) failure = errno_;
    }
    if (wait) wait();
    return failure;
  }

 private:
  mutable std::mutex mutex_;
  int calls_ = 0;
  int first_ = 0;
  int times_ = 0;
  int errno_ = 0;
  int slow_ = 0;
  std::function<void()> wait_;
};

}  // namespace handover::backend::test

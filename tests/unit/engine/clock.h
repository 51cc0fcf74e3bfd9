// SPDX-License-Identifier: LGPL-2.1-or-later
// A clock that stands still until a test moves it, and what is to happen when.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

namespace handover::engine::test {

class Clock {
 public:
  [[nodiscard]] std::uint64_t now_usec() const { return now_usec_; }

  /// `callback` runs once, `usec` from now, unless the alarm is destroyed before.
  using Alarm = std::shared_ptr<void>;
  [[nodiscard]] Alarm after(std::uint64_t usec, std::function<void()> callback);
  /// The same for what nobody takes back.
  void later(std::uint64_t usec, std::function<void()> callback);

  /// Runs what is due next, if that is by `limit_usec`; it is then that time. False: nothing is.
  bool run_next(std::uint64_t limit_usec);
  [[nodiscard]] bool anything_due(std::uint64_t limit_usec);
  /// Somebody worked for so long.
  void pass(std::uint64_t usec) { now_usec_ += usec; }

 private:
  struct Entry {
    std::function<void()> callback;
  };
  using Key = std::pair<std::uint64_t, std::uint64_t>;  ///< when, and in the order of the calls

  void drop_cancelled();

  std::uint64_t now_usec_ = 1'000'000'000;
  std::uint64_t calls_ = 0;
  std::map<Key, std::weak_ptr<Entry>> alarms_;
  std::map<Key, std::shared_ptr<Entry>> kept_;
};

}  // namespace handover::engine::test

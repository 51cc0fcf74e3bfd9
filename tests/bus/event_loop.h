// SPDX-License-Identifier: LGPL-2.1-or-later
// The test's own event loop: fixtures hang on it, tests run it until what they wait for is there.
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <functional>
#include <memory>

namespace handover::test {

/// Far more than anything here takes, also under a sanitizer on a busy machine: only a hang ends
/// it.
inline constexpr std::chrono::milliseconds patience{120'000};

struct UnrefSource {
  void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
};
using SourcePtr = std::unique_ptr<sd_event_source, UnrefSource>;

/// Throws std::system_error for a negative errno; returns `result`.
int must(int result, const char* what);

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  [[nodiscard]] sd_event* get() const { return event_; }
  /// Handles events until `done()`; false if `limit` passed before.
  [[nodiscard]] bool run_until(const std::function<bool()>& done,
                               std::chrono::milliseconds limit = patience);
  /// Handles what is there already, and returns.
  void run_pending();
  /// `callback` runs once after `delay`, unless the source is gone by then.
  [[nodiscard]] SourcePtr after(std::chrono::milliseconds delay, std::function<void()> callback);
  /// `callback` runs whenever `fd` can be read; it and the source end together.
  [[nodiscard]] SourcePtr readable(int fd, std::function<void()> callback);

 private:
  sd_event* event_ = nullptr;
};

}  // namespace handover::test

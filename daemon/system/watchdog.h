// SPDX-License-Identifier: LGPL-2.1-or-later
// A watchdog over the kexec (Documentation/watchdog/watchdog-api.rst): a new kernel that hangs is
// reset by it. The only place with its ioctls.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/error.h"
#include "core/unique_fd.h"
#include "core/watchdog.h"

namespace handover::system {

/// What sysfs says of it, without opening it: that would start it. `device` is "/dev/watchdog0",
/// "/dev/watchdog", or a link to one.
WatchdogFacts watchdog_facts(const std::string& device, const std::string& root = "");

/// One that counts. It goes on doing so when this object goes, or the process: whoever opens it
/// next, or the kexec, has its time.
class Watchdog {
 public:
  /// ioctl(2) and write(2) on the open device; a test has others.
  struct Calls {
    std::function<int(int fd, unsigned long request, void* argument)> ioctl;
    std::function<bool(int fd)> write_v;  ///< the magic character
  };
  static Calls real_calls();

  /// Opens it, which starts it, if it does not count already. busy: somebody else has it open; io.
  static Result<Watchdog> open(const std::string& device, Calls calls = real_calls());

  /// Gives it `timeout_usec`, rounded up to seconds, from now. not_supported: it takes no such
  /// time, and is stopped; busy: as disarm().
  Result<void> arm(std::uint64_t timeout_usec);
  /// It counts, and somebody has to feed or stop it.
  [[nodiscard]] bool is_open() const { return static_cast<bool>(fd_); }

  /// Seconds, as the driver made it.
  [[nodiscard]] unsigned timeout_seconds() const { return timeout_; }
  Result<void> feed();
  /// Stops and closes it. busy: the driver cannot be stopped (nowayout); it stays open, and must be
  /// fed.
  Result<void> disarm();

 private:
  Watchdog(UniqueFd fd, std::string device, Calls calls)
      : fd_(std::move(fd)), device_(std::move(device)), calls_(std::move(calls)) {}

  Result<void> start(std::uint64_t timeout_usec);

  UniqueFd fd_;
  std::string device_;
  Calls calls_;
  unsigned timeout_ = 0;
};

}  // namespace handover::system

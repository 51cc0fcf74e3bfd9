// SPDX-License-Identifier: LGPL-2.1-or-later
// Sessions that their owners have finished, and that the kernel still has: they rest until the last
// client is thawed.
//
// The kernel restores a retrieved file when it is touched. In the background it can restore the
// rest of it, but only while the session exists, and it needs processors for that, which belong to
// the clients until all of them run.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"

namespace handover::backend {

/// Any thread may call it.
class Rest {
 public:
  Rest() = default;
  Rest(const Rest&) = delete;
  Rest& operator=(const Rest&) = delete;
  virtual ~Rest() = default;

  /// Their names, for the manifest. Never waits.
  [[nodiscard]] virtual std::vector<std::string> resting() const = 0;
  /// Takes over the resting sessions of an earlier process of the daemon.
  virtual void adopt_resting(const std::vector<std::string>& names) = 0;
  /// All clients run: has the kernel restore, with so many threads, the files of the resting
  /// sessions, and of those that are finished from now on, and ends these sessions. An error means
  /// that at least one of them still rests.
  virtual Result<void> restore_rest(unsigned threads) = 0;
};

}  // namespace handover::backend

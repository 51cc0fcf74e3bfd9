// SPDX-License-Identifier: LGPL-2.1-or-later
// Stops the daemon at each system call by which the world could see a change, so that a test can
// kill it exactly there: replacing a file, sending a message, executing itself again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "child_process.h"
#include "core/unique_fd.h"
#include "event_loop.h"
#include "service_manager.h"

namespace handover::test {

/// seccomp's user notification (seccomp_unotify(2)): the kernel holds the calling thread until the
/// test has decided. It outlives execve(), so that an emulated update is covered to its end.
class SyscallGate {
 public:
  enum class Stop { rename, send, execute };
  /// True: it may go on. False: the process is killed before it does.
  using Decide = std::function<bool(Stop)>;

  /// Each daemon that `manager` starts from now on goes through the gate.
  SyscallGate(EventLoop& loop, ServiceManager& manager);
  SyscallGate(const SyscallGate&) = delete;
  SyscallGate& operator=(const SyscallGate&) = delete;

  /// Absent: everything goes on.
  void decide(Decide decide) { decide_ = std::move(decide); }
  /// From now on PID 1 takes so long for each descriptor that it is sent.
  void slow_down_stores(std::chrono::milliseconds time) { store_takes_ = time; }

 private:
  void install() const;
  void accept();
  void on_stop();
  void let_go(std::uint64_t id);

  EventLoop& loop_;
  ServiceManager& manager_;
  UniqueFd ours_;
  UniqueFd theirs_;
  UniqueFd listener_;
  SourcePtr source_;
  Decide decide_;
  std::chrono::milliseconds store_takes_{0};
  std::vector<SourcePtr> slow_;
};

}  // namespace handover::test

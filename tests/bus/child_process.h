// SPDX-License-Identifier: LGPL-2.1-or-later
// A process started by a test; it cannot outlive the test.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/unique_fd.h"
#include "event_loop.h"

namespace handover::test {

class ChildProcess {
 public:
  struct Setup {
    std::vector<std::string> argv;
    std::vector<std::string> environment;  ///< "NAME=value", on top of ours
    /// Handed over as systemd does (sd_listen_fds(3)): name, descriptor.
    std::vector<std::pair<std::string, int>> listen_fds;
    std::string log;                 ///< stdout and stderr are appended to this file
    std::function<void()> in_child;  ///< between fork() and execve()
  };

  /// `ended` runs in the loop with the status of waitpid(2). Throws std::system_error.
  ChildProcess(EventLoop& loop, const Setup& setup, std::function<void(int)> ended);
  /// Kills it if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running() const { return running_; }
  void signal(int number) const;

 private:
  void reap();

  pid_t pid_ = -1;
  bool running_ = true;
  UniqueFd pidfd_;
  std::function<void(int)> ended_;
  SourcePtr source_;
};

}  // namespace handover::test

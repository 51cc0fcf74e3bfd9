// SPDX-License-Identifier: LGPL-2.1-or-later
// A copy of this process that runs one function and ends, for what must not happen in this one.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::system {

/// One thread uses it at a time. The copy has memory of its own: what the function changes there is
/// not seen here. If this object goes before the function has ended, the copy is killed; one that
/// cannot be killed (a system call that never returns) is left behind and holds up nothing.
class Process {
 public:
  struct Place {
    /// A directory of cgroup2, O_PATH suffices; -1: the cgroup of this process.
    int cgroup = -1;
    /// The copy uses this process's table of descriptors: what it opens or closes, is open or
    /// closed here. Otherwise it has none at all.
    bool share_descriptors = false;
    /// The one that it has nevertheless; -1: none.
    int keep = -1;
  };

  /// `call` must not allocate memory, take a lock or throw: other threads of this process may have
  /// held locks when it was copied. io, with the errno of clone3(2) or of entering the cgroup.
  static Result<Process> start(const Place& place, const std::function<int()>& call);

  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// What `call` returned, or -ENOMEM if the process was killed before (the out-of-memory killer of
  /// its cgroup does that). nullopt: it has not ended within `usec`.
  std::optional<int> wait(std::uint64_t usec);
  void kill() { signal(SIGKILL); }
  void signal(int number);
  /// The processor time that it has had; 0 if that is not known (any more).
  [[nodiscard]] std::uint64_t processor_usec() const;
  /// Its own as long as it was not waited for.
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  struct Shared;
  struct Unmap {
    void operator()(Shared* page) const;
  };
  Process(pid_t pid, UniqueFd pidfd, UniqueFd procs, Shared* page)
      : pid_(pid), pidfd_(std::move(pidfd)), procs_(std::move(procs)), page_(page) {}

  pid_t pid_;
  UniqueFd pidfd_;  ///< empty once it has been waited for
  UniqueFd procs_;  ///< it may still have to enter its cgroup by this
  std::unique_ptr<Shared, Unmap> page_;
};

}  // namespace handover::system

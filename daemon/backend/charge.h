// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes system calls in the cgroup of the client that they allocate memory for.
//
// When LUO fills the holes of a file that it preserves, or restores a file, it charges the memory
// to the cgroup of the calling process (mem_cgroup_charge() in mm/memfd_luo.c). That would be the
// daemon's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace handover::backend {

/// How long a call may take in the cgroup of an owner, who can freeze it or slow it down.
struct Patience {
  std::uint64_t limit_usec = 0;
  bool ends_here = false;  ///< then it is not killed, but goes on in ours
};

/// Runs `call` in a process of `cgroup` (a path below /sys/fs/cgroup) and returns its result, or
/// -errno if it could not be run there; -ENOMEM if it was ended for want of memory; -ETIMEDOUT if
/// the cgroup is frozen or patience was over, -EINPROGRESS if it then could not be ended either.
/// The process shares our descriptors, not our memory: what `call` writes to memory is lost, and it
/// must neither take a lock nor allocate.
using RunIn = std::function<int(const std::string& cgroup, const std::function<int()>& call,
                                const Patience& patience)>;

/// How many bytes `cgroup` can still allocate; nullopt if there is no limit or it is not known.
using RoomIn = std::function<std::optional<std::uint64_t>(const std::string& cgroup)>;

/// Any thread may use it.
class Charge {
 public:
  /// What is smaller is charged to the daemon: a process for each of a thousand clients' small
  /// descriptors would make everybody's blackout seconds longer (measured: 100 clients with 4
  /// descriptors each, 7.2 s of restore instead of 1.7 s). max_descriptors_per_user bounds it.
  static constexpr std::uint64_t worth_a_process = std::uint64_t{1} << 20U;

  /// If `run_in` is empty, every call is made here. If `room_in` is, there is always room.
  explicit Charge(RunIn run_in = {}, RoomIn room_in = {})
      : run_in_(std::move(run_in)), room_in_(std::move(room_in)) {}

  struct Done {
    int result = 0;        ///< of the call: not negative, or -errno
    bool charged = false;  ///< it was made in the cgroup
    /// Why it was not, although that was possible in principle; else "".
    std::string why_here;
  };
  /// Makes `call`, which returns a result or -errno and may allocate `bytes`, in `cgroup`; or here,
  /// if that is not worth a process, none can be run there, or `cgroup` is "". If the process was
  /// ended there, the call may have had its effect: -ENOMEM if the cgroup has not enough memory for
  /// it, -ETIMEDOUT if it is frozen or too slow, -EINPROGRESS if even its end takes too long.
  [[nodiscard]] Done run(const std::string& cgroup, std::uint64_t bytes,
                         const std::function<int()>& call) const;
  /// The same for a call that must not fail for want of memory or of time, and can be made twice:
  /// makes it here if the cgroup has no room for `bytes`, or ends the process for want of memory;
  /// and has it end here if the cgroup is frozen or too slow.
  [[nodiscard]] Done run_if_room(const std::string& cgroup, std::uint64_t bytes,
                                 const std::function<int()>& call) const;

 private:
  RunIn run_in_;
  RoomIn room_in_;
};

}  // namespace handover::backend

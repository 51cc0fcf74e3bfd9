// SPDX-License-Identifier: LGPL-2.1-or-later
// The kernel's live update calls, typed: one method is one ioctl, an errno is a value.
//
// Threads: the real device keeps nothing but its path, so any thread may call it. That the kernel
// lets one process at a time open /dev/liveupdate is waited out in here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backend/kernel_result.h"
#include "core/unique_fd.h"

namespace handover::backend {

class LuoDevice {
 public:
  LuoDevice() = default;
  LuoDevice(const LuoDevice&) = delete;
  LuoDevice& operator=(const LuoDevice&) = delete;
  virtual ~LuoDevice() = default;

  /// EEXIST: there is an outgoing session of that name. Every descriptor of the session, in any
  /// process, must be closed before its name is free again.
  virtual KernelResult<UniqueFd> create_session(const std::string& name) = 0;
  /// ENOENT: no incoming session of that name. EINVAL: somebody has retrieved it before.
  virtual KernelResult<UniqueFd> retrieve_session(const std::string& name) = 0;

  /// EEXIST: token used. EBUSY: file preserved by a session already. ENOENT: no handler for the
  /// file. EBADF. EINVAL: the session is incoming. ENOSPC, ENOMEM, and what the handler says.
  virtual KernelResult<void> preserve_fd(int session, std::uint64_t token, int fd) = 0;
  /// ENOENT: no such token. EINVAL: the session is outgoing. Otherwise for ever the same errno.
  virtual KernelResult<UniqueFd> retrieve_fd(int session, std::uint64_t token) = 0;
  virtual KernelResult<void> finish(int session) = 0;
  /// ENOTTY and others: not a session.
  virtual KernelResult<std::string> session_name(int session) = 0;
};

/// /dev/liveupdate at `path`, opened for the moment of a call only.
std::shared_ptr<LuoDevice> open_luo_device(std::string path);

/// Calls `attempt` until it succeeds or fails with something other than `transient`, waiting a
/// little longer each time, for `limit` in all. Returns the last result.
KernelResult<UniqueFd> retry_while(int transient, std::chrono::milliseconds limit,
                                   const std::function<KernelResult<UniqueFd>()>& attempt);

/// Whether the kernel treats `session` as incoming: it refuses to preserve into it, before it looks
/// at the descriptor (luo_ioctl_type_valid() in kernel/liveupdate/luo_session.c). Changes nothing.
bool is_incoming(LuoDevice& device, int session);

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
// The calls of the kernel's live update device, typed: one method is one ioctl, an errno is a
// value.
//
// Threads: any thread may call it. No method waits: EBUSY says that another process has
// /dev/liveupdate open, and the caller decides how long to try again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/kernel_result.h"
#include "core/unique_fd.h"

namespace handover::backend {

class LuoDevice {
 public:
  LuoDevice() = default;
  LuoDevice(const LuoDevice&) = delete;
  LuoDevice& operator=(const LuoDevice&) = delete;
  virtual ~LuoDevice() = default;

  /// One process at a time can open the device. It is open for the time of a call only, unless
  /// somebody holds it: then it stays open, once it could be opened, until the result is destroyed,
  /// and no other process can open it between two calls.
  virtual std::shared_ptr<void> hold() = 0;
  /// Opens the device for those who hold it. EBUSY: another process has it open. EIO, for ever:
  /// this kernel could not read the earlier kernel's sessions.
  virtual KernelResult<void> open() = 0;

  /// As open(). EEXIST: there is an outgoing session of that name. Every descriptor of the session,
  /// in any process, must be closed before its name is free again.
  virtual KernelResult<UniqueFd> create_session(const std::string& name) = 0;
  /// As open(). ENOENT: no incoming session of that name. EINVAL: somebody has retrieved it before.
  virtual KernelResult<UniqueFd> retrieve_session(const std::string& name) = 0;

  // The next two make one system call and do nothing else: they take no lock and allocate nothing.
  // So they can run in a child that shares our descriptors, not our memory (RunIn). All that they
  // have to say is one number: the result, or -errno.

  /// 0. EEXIST: token used. EBUSY: file preserved by a session already. ENOENT: no handler for the
  /// file. EBADF. EINVAL: the session is incoming. ENOSPC, ENOMEM, and what the handler says.
  [[nodiscard]] virtual int preserve_fd(int session, std::uint64_t token, int fd) noexcept = 0;
  /// A new descriptor (CLOEXEC). It can be had again until the session is finished. EMFILE: the
  /// kernel has tried nothing. ENOENT: no such token. EINVAL: the session is outgoing. Any other
  /// errno: the kernel has tried to restore the file, failed, and will answer so for ever
  /// (luo_retrieve_file() in kernel/liveupdate/luo_file.c).
  [[nodiscard]] virtual int retrieve_fd(int session, std::uint64_t token) noexcept = 0;

  virtual KernelResult<void> finish(int session) = 0;
  /// ENOTTY and others: not a session.
  virtual KernelResult<std::string> session_name(int session) = 0;
};

/// /dev/liveupdate at `path`.
std::shared_ptr<LuoDevice> open_luo_device(std::string path);
/// The same; `open_it` opens the device and returns a descriptor, or -1 and errno.
std::shared_ptr<LuoDevice> open_luo_device(std::function<int()> open_it);

/// The longest time that a call waits for other processes. adopt(), mend() and unseal() never wait.
struct LuoPatience {
  /// For /dev/liveupdate. PID 1 opens it for the time of a call, while it boots and shuts down.
  std::chrono::milliseconds open{2000};
  /// For the name of a new session.
  std::chrono::milliseconds create{300};
  /// For a name that was ours: systemd closes what it drops from the fd store a moment later, in
  /// another thread (asynchronous_close() in systemd's service.c).
  std::chrono::milliseconds remake{3000};

  static LuoPatience none() {
    constexpr std::chrono::milliseconds zero(0);
    return {zero, zero, zero};
  }
};

/// An errno that can pass, and how long to wait for that.
struct Transient {
  int sys_errno = 0;
  std::chrono::milliseconds patience{0};
};

/// Paces a call that is repeated until it succeeds or patience ends.
class Retry {
 public:
  explicit Retry(std::vector<Transient> transient) : transient_(std::move(transient)) {}
  /// The call failed with `sys_errno`. Returns true after a short wait, which becomes longer each
  /// time, if it should be repeated. Patience is counted from the construction.
  bool again(int sys_errno);

 private:
  std::vector<Transient> transient_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::milliseconds pause_{1};
};

}  // namespace handover::backend

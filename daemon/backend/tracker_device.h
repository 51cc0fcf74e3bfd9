// SPDX-License-Identifier: LGPL-2.1-or-later
// The companion module's calls, typed: one method is one ioctl of kmod/include/uapi/linux/
// handover.h, an errno is a value.
//
// Threads: the real device keeps nothing but its path, so any thread may call it. Calls on one
// session wait for each other in the kernel.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/kernel_result.h"
#include "core/unique_fd.h"
#include "core/words.h"

namespace handover::backend {

/// HANDOVER_INFO.
struct TrackerInfo {
  std::uint32_t abi = 0;
  std::uint32_t format = 0;  ///< version of the serialized form that this module writes and reads
  bool kho = false;          ///< KHO is on: sessions can be made
  bool sealed = false;
  std::uint32_t lost = 0;  ///< sessions of the earlier kernel whose tables were damaged
};

/// HANDOVER_SESSION_DESCRIBE, as far as the daemon uses it.
struct TrackerEntry {
  Kind kind = Kind::fd;  ///< memfd for shmem; fd for a kind that only a newer module knows
  std::uint64_t length = 0;
  bool retrieved = false;
};

struct TrackerLimits {
  std::uint64_t bytes = 0;    ///< 0: none
  std::uint32_t entries = 0;  ///< 0: none
};

class TrackerDevice {
 public:
  TrackerDevice() = default;
  TrackerDevice(const TrackerDevice&) = delete;
  TrackerDevice& operator=(const TrackerDevice&) = delete;
  virtual ~TrackerDevice() = default;

  /// Each of these opens the device first. ENODEV: there is no module.
  virtual KernelResult<TrackerInfo> info() = 0;
  /// EEXIST: a session has this name, outgoing or incoming. EOPNOTSUPP: KHO is off. EBUSY: sealed.
  virtual KernelResult<UniqueFd> create_session(const std::string& name,
                                                const TrackerLimits& limits) = 0;
  /// Any session, any number of times. ENOENT: no such session.
  virtual KernelResult<UniqueFd> retrieve_session(const std::string& name) = 0;
  /// Sealing twice does nothing. ENOMEM: nothing is sealed.
  virtual KernelResult<void> seal() = 0;
  /// Unsealing what is not sealed does nothing.
  virtual KernelResult<void> unseal() = 0;

  /// ENOENT: it was finished or discarded. The same for every call on a session.
  virtual KernelResult<bool> is_incoming(int session) = 0;
  /// EINVAL: incoming. EBUSY: sealed, or the file is preserved already. EEXIST: token used.
  /// EOPNOTSUPP: the file is of no kind that can be. EDQUOT: a limit. EBADF. ENOMEM.
  virtual KernelResult<void> preserve_fd(int session, std::uint64_t token, int fd) = 0;
  /// ENOENT: no such token. EINVAL: incoming. EBUSY: sealed.
  virtual KernelResult<void> unpreserve(int session, std::uint64_t token) = 0;
  /// ENOENT: no such token. EINVAL: outgoing. EALREADY: retrieved before. ENODATA: damaged.
  /// EOPNOTSUPP: another kernel module's.
  virtual KernelResult<UniqueFd> retrieve(int session, std::uint64_t token) = 0;
  virtual KernelResult<TrackerEntry> describe(int session, std::uint64_t token) = 0;
  /// Ascending.
  virtual KernelResult<std::vector<std::uint64_t>> list_tokens(int session) = 0;
  /// EALREADY: at work already. EINVAL: outgoing, or not 1 to 64 threads.
  virtual KernelResult<void> restore(int session, std::uint32_t threads) = 0;
  /// EINVAL: outgoing. EBUSY: sealed.
  virtual KernelResult<void> finish(int session) = 0;
  virtual KernelResult<void> discard(int session) = 0;
};

/// /dev/handover at `path`. It is open for the time of a call only: otherwise the module could not
/// be unloaded or replaced when it holds nothing.
std::shared_ptr<TrackerDevice> open_tracker_device(std::string path);

}  // namespace handover::backend

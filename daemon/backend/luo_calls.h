// SPDX-License-Identifier: LGPL-2.1-or-later
// Questions to a LUO session, a client's or the manifest's.
#pragma once

#include <functional>
#include <string>

#include "backend/kernel_result.h"
#include "backend/luo_device.h"
#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::backend {

/// What LuoDevice::retrieve_fd() gave.
struct Retrieval {
  UniqueFd fd;
  int sys_errno = 0;
  bool for_ever = false;  ///< the kernel will never give it
};

/// Retrieves a token of `session` by `ask`, which calls retrieve_fd(). A failed attempt of the
/// kernel cannot be repeated, so this first finds out whether there is room for another descriptor.
Retrieval retrieve_token(int session, const std::function<int()>& ask);

/// Whether `session` is incoming. The kernel refuses to preserve in such a session before it looks
/// at the descriptor (luo_ioctl_type_valid() in kernel/liveupdate/luo_session.c), so that one can
/// ask with a descriptor that is none. Changes nothing. An errno if the answer says neither.
KernelResult<bool> is_incoming(LuoDevice& device, int session);

/// Whether the session behind `fd`, which the fd store gave back, is incoming. io if it is not
/// session `wanted`; passing if the kernel does not say now.
Result<bool> examine_session(LuoDevice& device, int fd, const std::string& wanted);

}  // namespace handover::backend

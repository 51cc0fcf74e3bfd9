// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/error.h"

#include <system_error>

namespace handover {

Nature nature_of(ErrorCode code, int sys_errno) {
  switch (sys_errno) {
    case EBUSY:
    case EAGAIN:
    case EINTR:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case ETIMEDOUT:
      return Nature::passing;
    default:
      break;
  }
  const bool lost = code == ErrorCode::state_lost || code == ErrorCode::manifest_invalid;
  return lost ? Nature::damaged : Nature::refused;
}

tl::unexpected<Error> fail_errno(std::string_view what, int sys_errno, ErrorCode code) {
  std::string message(what);
  message += ": ";
  // Not strerror(), which is not safe in threads (strerror(3)).
  message += std::generic_category().message(sys_errno);
  return fail(code, std::move(message), sys_errno);
}

}  // namespace handover

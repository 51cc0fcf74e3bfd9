// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo_calls.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <utility>

#include "backend/refusal.h"

namespace handover::backend {

Retrieval retrieve_token(int session, const std::function<int()>& ask) {
  // The kernel reserves the descriptor first, and then tries to restore the file, once.
  UniqueFd room(::fcntl(session, F_DUPFD_CLOEXEC, 0));
  if (!room) return {UniqueFd(), errno, false};
  room.reset();
  const auto is_final = [](int answer) { return answer == -ENOENT || answer == -EINVAL; };
  int answer = ask();
  bool for_ever = is_final(answer);
  if (answer < 0 && !for_ever) {
    // If the kernel tried and failed, it gives the same answer again. Another answer means that it
    // did not try: another thread may have taken the last descriptor.
    const int first = std::exchange(answer, ask());
    for_ever = is_final(answer) || (answer == first && answer != -EMFILE);
  }
  if (answer >= 0) return {UniqueFd(answer), 0, false};
  return {UniqueFd(), -answer, for_ever};
}

KernelResult<bool> is_incoming(LuoDevice& device, int session) {
  switch (const int answer =
              device.preserve_fd(session, std::numeric_limits<std::uint64_t>::max(), -1)) {
    case -EINVAL:
      return true;
    case -EBADF:   // it would preserve, if there were a file
    case -EEXIST:  // the token is in use
    case -ENOSPC:  // it is full
      return false;
    default:
      return tl::unexpected<int>(-answer);
  }
}

Result<bool> examine_session(LuoDevice& device, int fd, const std::string& wanted) {
  const auto name = device.session_name(fd);
  if (!name && is_passing(name.error())) {
    return fail(device_error("look into", wanted, name.error()));
  }
  if (!name) {
    return fail_errno("what came back for session \"" + wanted + "\" is no LUO session",
                      name.error());
  }
  if (*name != wanted) {
    return fail(ErrorCode::io, "what came back for session \"" + wanted +
                                   "\" is the kernel's session \"" + *name + "\"");
  }
  const auto incoming = is_incoming(device, fd);
  if (!incoming) return fail(device_error("look into", wanted, incoming.error()));
  return *incoming;
}

}  // namespace handover::backend

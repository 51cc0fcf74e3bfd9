// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wait.h"

#include <algorithm>
#include <cerrno>

#include "common/file.h"
#include "common/loop.h"

namespace handover::vmm {

client::Result<bool> wait_for(int fd, short events, std::uint64_t deadline) {
  constexpr std::uint64_t longest_ms = 60'000;
  for (;;) {
    const std::uint64_t now = common::now_usec();
    const std::uint64_t left = deadline > now ? (deadline - now + 999) / 1000 : 0;
    pollfd waited = {fd, events, 0};
    const int n = poll(&waited, 1, static_cast<int>(std::min(left, longest_ms)));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return common::errno_error("Cannot wait");
    if (n == 0 && left == 0) return false;
  }
}

}  // namespace handover::vmm

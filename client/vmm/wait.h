// SPDX-License-Identifier: LGPL-2.1-or-later
// Waiting for one descriptor, up to an instant.
#pragma once

#include <poll.h>

#include <cstdint>
#include <handover/handover.hpp>

namespace handover::vmm {

/// Is `fd` ready for `events` (or at its end) by `deadline`, an instant of common::now_usec()? It
/// is looked at once even if that has passed.
client::Result<bool> wait_for(int fd, short events, std::uint64_t deadline);

}  // namespace handover::vmm

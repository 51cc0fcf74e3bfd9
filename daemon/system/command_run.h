// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs a command of the configuration to its end, and says what went wrong.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"

namespace handover::system {

/// `argv`: the first word is a path. `environment`: "NAME=VALUE", beside PATH. When the limit is
/// over, or `stop` is set, it is killed, and all that it has started with it.
///
/// Takes as long as the command: a thread of the pool. Well is exit status 0. Else io (timed_out at
/// the limit): "it ended with status 3; its last line was 'it is broken'".
Result<void> run_command(const std::vector<std::string>& argv,
                         const std::vector<std::string>& environment, std::uint64_t limit_usec,
                         const std::atomic<bool>& stop);

}  // namespace handover::system

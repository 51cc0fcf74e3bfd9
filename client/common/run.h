// SPDX-License-Identifier: LGPL-2.1-or-later
// The life of a client's process: connection, event loop, keeper.
#pragma once

#include <memory>

#include "keeper.h"
#include "kept.h"

namespace handover::common {

/// Runs until COMMAND ends or the keeper fails, and says why it failed. The exit code to end with.
int run(KeeperOptions options, std::unique_ptr<Kept> kept);

}  // namespace handover::common

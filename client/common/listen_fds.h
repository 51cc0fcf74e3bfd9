// SPDX-License-Identifier: LGPL-2.1-or-later
// What this program was started with, by the convention of sd_listen_fds(3): a unit's sockets, say.
#pragma once

#include <vector>

#include "command.h"

namespace handover::common {

/// They are closed on exec from now on; the variables are gone from the environment.
std::vector<Handed> take_listen_fds();

}  // namespace handover::common

// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update costs in round trips alone: as many messages as handoverd sends and answers, by
// sd-bus as well, with nothing done for any of them.
#pragma once

#include <string>

namespace handover::bench {

/// Serves on the private socket at `path` and, unless it is empty, on the bus at that address, as
/// "org.handover1"; never returns. Update freezes all clients, lets go of their connections, and
/// restores them as they come back; nothing is kept and nobody is refused. "gate" freezes last and
/// is restored first.
int run_bare_daemon(const std::string& path, const std::string& bus_address);

}  // namespace handover::bench

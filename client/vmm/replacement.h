// SPDX-License-Identifier: LGPL-2.1-or-later
// Another QEMU program under a guest: which way one can take the other's place, and does it run.
#pragma once

#include <handover/handover.hpp>
#include <string>
#include <vector>

#include "common/identity.h"

namespace handover::vmm {

/// What QEMU has, and another one might not get, neither beside it nor after it: a disk of an NBD
/// server, which may serve one client only and end with it; a connection that nobody makes again.
/// A sentence that names it, or "". Helpers of ours are started anew with their sockets.
std::string only_one_can_have(const std::vector<std::string>& arguments,
                              const std::string& directory, bool own_helpers);

/// May two QEMUs with these arguments be there at a time, one of them stopped? A guess on the safe
/// side: not with a socket or port that QEMU listens at, a tap, a display, a helper's connection, a
/// file that it begins anew.
bool can_stand_beside(const std::vector<std::string>& arguments);

/// Does it run at all? It is asked for its version.
client::Result<void> try_program(const std::string& program, const common::Identity* identity);

}  // namespace handover::vmm

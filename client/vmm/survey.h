// SPDX-License-Identifier: LGPL-2.1-or-later
// Asks a QEMU what it is made of.
#pragma once

#include <handover/handover.hpp>

#include "cpu_model.h"
#include "inventory.h"
#include "migration.h"

namespace handover::vmm {

client::Result<Inventory> take_inventory(const Peer& peer, Deadline deadline);
/// Of the first processor; empty where QEMU does not tell (it does for x86).
client::Result<CpuModel> look_at_cpu(const Peer& peer, Deadline deadline);

}  // namespace handover::vmm

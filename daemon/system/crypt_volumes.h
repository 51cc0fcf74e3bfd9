// SPDX-License-Identifier: LGPL-2.1-or-later
// Encrypted volumes for which the next boot asks a person.
#pragma once

#include <string>
#include <vector>

#include "core/host_facts.h"

namespace handover::system {

/// Of the volumes that are open now (/sys/block/dm-*): those whose line in /etc/crypttab names
/// neither a key file nor a TPM, and that which the root file system lies on unless its line does.
std::vector<LockedVolume> locked_volumes(const std::string& root = "");

}  // namespace handover::system

// SPDX-License-Identifier: LGPL-2.1-or-later
// Encrypted volumes for which the next boot may ask a person.
#pragma once

#include <string>
#include <vector>

#include "core/host_facts.h"

namespace handover::system {

/// Of the volumes that are open now (/sys/block/dm-*): those whose line in /etc/crypttab or
/// /etc/crypttab.initramfs names neither a key file nor a TPM, and that which the root file system
/// lies on unless its line, or `target_cmdline`, does. A key file of the volume's name counts for
/// both. What lies in the volume itself is not looked at: a TPM's or clevis' token.
std::vector<LockedVolume> locked_volumes(const std::string& target_cmdline,
                                         const std::string& root = "");

}  // namespace handover::system

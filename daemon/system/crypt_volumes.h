// SPDX-License-Identifier: LGPL-2.1-or-later
// Encrypted volumes for which the next boot may ask a person.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/host_facts.h"
#include "core/initrd_facts.h"

namespace handover::system {

/// Of the volumes that are open now (/sys/block/dm-*): those whose line in /etc/crypttab or
/// /etc/crypttab.initramfs names neither a key file nor a TPM, and that which the root file system
/// lies on unless its line, or `target_cmdline`, does. A key file of the volume's name counts for
/// both. A line of the initrd's own crypttab goes before the others, and counts though its volume
/// is not open now. Where clevis is at work, it is expected to open them. What lies in the volume
/// itself is not looked at (a token of systemd-cryptenroll): nobody may open block devices here.
std::vector<LockedVolume> locked_volumes(const std::string& target_cmdline,
                                         const std::optional<InitrdFacts>& initrd,
                                         const std::string& root = "");

}  // namespace handover::system

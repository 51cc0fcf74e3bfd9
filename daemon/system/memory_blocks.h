// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory that was added after the boot.
#pragma once

#include <cstdint>
#include <string>

namespace handover::system {

/// Bytes of memory blocks (/sys/devices/system/memory) that are online, not movable, and outside of
/// what the boot loader said there is (boot_params, x86). kexec gives the target the same map. 0
/// also where that is not known.
std::uint64_t hot_added_memory(const std::string& root = "");

}  // namespace handover::system

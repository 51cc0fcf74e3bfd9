// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds the companion module that another kernel would load, and reads what it says of itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/preflight.h"

namespace handover::system {

/// handover.ko, or its compressed form (.gz, .xz, .zst), anywhere below /lib/modules/RELEASE; of
/// several, the one that depmod prefers ("updates" before the rest). nullopt: there is none.
/// not_supported: it is not an ELF module of 64 bits, or it is damaged; io. Reads the disk: a
/// thread of the pool.
Result<std::optional<KernelModule>> find_companion_module(const std::string& release,
                                                          const std::string& root = "");

/// The value of "`name`=value" in the .modinfo section of an ELF module (64 bits, little-endian:
/// x86-64 and arm64); "" if it is not there. not_supported: not such an ELF file, or damaged.
Result<std::string> modinfo_field(std::string_view module, std::string_view name);

}  // namespace handover::system

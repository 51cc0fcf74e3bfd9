// SPDX-License-Identifier: LGPL-2.1-or-later
// The kernel images of this host, and what tells one from another.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/kernel_ledger.h"

namespace handover::system {

/// Those that an update could go into (installed_kernels()). Only images of the releases in
/// `identify` are read as a whole, to tell which build they are: each takes some 10 ms. What cannot
/// be read has no identity. A thread of the pool.
std::vector<KernelFile> kernel_files(const std::set<std::string>& identify,
                                     const std::string& root = "");

}  // namespace handover::system

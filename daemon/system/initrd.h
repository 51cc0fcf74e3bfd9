// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds the initrd of a kernel image, and looks into it.
#pragma once

#include <string>

#include "core/error.h"
#include "core/initrd_facts.h"

namespace handover::system {

/// The initrd of the image `kernel`, of that release, by the names of distributions
/// (core/initrd_names.h). "" if there is none.
std::string find_initrd(const std::string& kernel, const std::string& release,
                        const std::string& root = "");

/// Unpacks it piece by piece, and keeps none: is it whole, and whose modules has it? What is
/// compressed in a way that cannot be read here (LZO) is taken for whole. io. Up to seconds: a
/// thread of the pool.
Result<InitrdFacts> inspect_initrd(int fd, const std::string& path);

}  // namespace handover::system

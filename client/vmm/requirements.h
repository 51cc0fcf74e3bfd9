// SPDX-License-Identifier: LGPL-2.1-or-later
// What of the host a guest's QEMU needs, as its arguments say.
#pragma once

#include <string>
#include <vector>

#include "common/wait_for.h"

namespace handover::vmm {

/// Images, kernels, devices, network links. A path that does not begin with '/' is taken from
/// `directory`. A guess: what QEMU reads otherwise is not among them, or not there even now.
std::vector<common::WaitFor> requirements_of(const std::vector<std::string>& arguments,
                                             const std::string& directory);

/// Where QEMU begins its relative paths: our working directory.
std::string own_directory();

enum class Sockets {
  awaited,  ///< that must be there when QEMU starts
  all,      ///< those that it looks for again and again, too
};

/// Sockets to which QEMU connects: those of its helpers.
std::vector<std::string> sockets_of(const std::vector<std::string>& arguments,
                                    const std::string& directory, Sockets which = Sockets::awaited);

/// Those of them that are there.
std::vector<common::WaitFor> present(std::vector<common::WaitFor> wanted);

/// As parse_wait_for() reads it.
std::string to_text(const common::WaitFor& wanted);

}  // namespace handover::vmm

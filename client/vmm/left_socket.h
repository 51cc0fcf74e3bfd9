// SPDX-License-Identifier: LGPL-2.1-or-later
// Sockets in the file system whose owner has ended: nobody can connect to them, nor bind anew.
#pragma once

#include <handover/handover.hpp>
#include <string>
#include <vector>

namespace handover::vmm {

/// Has somebody bound this socket, and is still there? He does not hear that he was looked for.
bool has_owner(const std::string& socket);

/// Removes those that have none. Other files, and those that are not there, are left as they are.
client::Result<void> remove_left_sockets(const std::vector<std::string>& sockets);

}  // namespace handover::vmm

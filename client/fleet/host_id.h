// SPDX-License-Identifier: LGPL-2.1-or-later
// What this host is called in the fleet.
#pragma once

#include <handover/handover.hpp>
#include <string>

namespace handover::fleet {

/// Derived from /etc/machine-id, so that it does not disclose that
/// (sd_id128_get_machine_app_specific(3)): 32 hexadecimal digits.
client::Result<std::string> machine_id();
/// Of this boot of the kernel.
client::Result<std::string> boot_id();
std::string host_name();
/// Drawn at random when it is asked for first, and kept in that directory: it tells hosts apart
/// that were cloned from one image, id and name included.
client::Result<std::string> installation_id(const std::string& directory);

}  // namespace handover::fleet

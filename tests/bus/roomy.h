// SPDX-License-Identifier: LGPL-2.1-or-later
// A configuration for a thousand clients of one user, who would be many users on a real host.
#pragma once

#include <nlohmann/json.hpp>

namespace handover::test {

/// The limits on what one user may have, each at its maximum; without those that this daemon's
/// schema does not know.
nlohmann::json roomy_configuration();

/// As many descriptors as this process, and those it starts, may have.
void raise_descriptor_limit();

}  // namespace handover::test

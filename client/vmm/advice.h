// SPDX-License-Identifier: LGPL-2.1-or-later
// What is allowed in a guest's arguments, and may yet cost the guest at an update.
#pragma once

#include <string>
#include <vector>

#include "cpu_model.h"

namespace handover::vmm {

/// Sentences for `handover-vmm check`.
std::vector<std::string> advice_on(const std::vector<std::string>& arguments);

/// Why the speed of the guest's TSC, which it was promised never to change, might change on the
/// way; "" if it cannot.
std::string tsc_obstacle(const std::vector<std::string>& arguments, const CpuModel& model);

}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules of preflight about what the host's managers are about to do: a shutdown that is not wanted
// now, or comes anyway, and units that will not be there after the update.
#pragma once

#include <string_view>

#include "core/finding_list.h"
#include "core/manager_facts.h"

namespace handover {

void check_managers(const ManagerFacts& managers, FindingList& findings);

/// Whether a job that starts this unit ends the boot.
bool is_shutdown_unit(std::string_view unit);

}  // namespace handover

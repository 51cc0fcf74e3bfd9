// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs the checks that say whether the host is well.
//
// Threads: any; it blocks.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "config.h"

namespace handover::fleet {

/// One after the other, each until it passes or its retries are used up; the first that fails ends
/// it. What failed and how, as a sentence's end; "": all passed.
std::string run_checks(const std::vector<Check>& checks,
                       const std::vector<std::string>& environment,
                       const std::atomic<bool>& given_up);

/// The program that performs the check.
std::vector<std::string> program_of(const Check& check);

}  // namespace handover::fleet

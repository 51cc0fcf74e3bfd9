// SPDX-License-Identifier: LGPL-2.1-or-later
// How much room there is for the next kernel, and where the daemon writes.
#pragma once

#include <string>

#include "core/room_facts.h"

namespace handover::system {

/// The directories are as they are called within `root`.
RoomFacts room_facts(const std::string& runtime_directory, const std::string& state_directory,
                     const std::string& root = "");

}  // namespace handover::system

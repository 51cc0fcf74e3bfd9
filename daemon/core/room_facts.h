// SPDX-License-Identifier: LGPL-2.1-or-later
// How much room this host has for the next kernel and for what is written down
// (system/room_facts.h looks). Absent: it could not be found out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace handover {

struct RoomFacts {
  std::vector<std::uint64_t> scratch_bytes;  ///< of each of KHO's scratch areas
  std::optional<std::uint64_t> available_memory;
  std::optional<std::uint64_t> runtime_directory;  ///< free there, /run/handover
  std::optional<std::uint64_t> state_directory;    ///< free there, /var/lib/handover
};

/// What an update carries, as far as its records say.
struct CarriedFacts {
  std::uint64_t bytes = 0;
  std::uint64_t small_bytes = 0;  ///< of these, what is not known to be in pieces of 2 MiB
  std::uint64_t manifest_bytes = 0;
  std::uint64_t stored_descriptors = 0;  ///< that PID 1's fd store has
  std::optional<std::uint64_t> store_limit;
};

}  // namespace handover

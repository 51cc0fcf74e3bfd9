// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules of preflight about room: for the target and its initrd, for what the next boot has to read,
// and for what the daemon writes down.
#pragma once

#include <cstdint>

#include "core/finding_list.h"
#include "core/room_facts.h"

namespace handover {

/// What the target takes.
struct TargetSize {
  std::uint64_t image_bytes = 0;   ///< 0: not known
  std::uint64_t memory_bytes = 0;  ///< that the image needs to unpack itself; 0: not known
  std::uint64_t initrd_bytes = 0;
};

void check_room(const RoomFacts& room, const TargetSize& target, FindingList& findings);

void check_carried(const CarriedFacts& carried, const RoomFacts& room, FindingList& findings);

/// How long the next boot takes to reserve so many isolated pieces of memory, µs: each one walks
/// over those before it (memblock_reserve()). Measured with 160,000 (20 s) and 320,000 (62 s).
std::uint64_t boot_usec_of_keys(std::uint64_t keys);

}  // namespace handover

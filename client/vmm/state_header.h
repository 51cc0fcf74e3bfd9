// SPDX-License-Identifier: LGPL-2.1-or-later
// What stands in front of a guest's state in preserved memory: how long, how whole, and of what.
//
// An ABI between two versions of this program, one in each kernel: a change needs a new version.
// All numbers are little-endian.
//
//     0  char[8]  magic "hovrvmm\n"
//     8  u32      version, 1
//    12  u32      bytes of the description (JSON), which begins at 64
//    16  u64      bytes of the device state, which begins behind the description
//    24  u64      the CPU's counter when the guest was stopped
//    32  u32      CRC-32 of the description
//    36  u32      CRC-32 of the device state
//    40  u32      flags: 1: the guest ran before it was stopped
//    44  u32[4]   zero
//    60  u32      CRC-32 of the bytes before
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <handover/handover.hpp>
#include <span>

namespace handover::vmm {

inline constexpr std::size_t header_bytes = 64;

struct StateHeader {
  std::uint32_t description_bytes = 0;
  std::uint64_t state_bytes = 0;
  std::uint64_t stopped_at = 0;
  std::uint32_t description_crc = 0;
  std::uint32_t state_crc = 0;
  bool ran = true;

  bool operator==(const StateHeader&) const = default;
};

using HeaderBytes = std::array<unsigned char, header_bytes>;

HeaderBytes encode(const StateHeader& header);

/// The header of `memory`, all of it, if what it tells of is in there and whole.
client::Result<StateHeader> decode(std::span<const unsigned char> memory);

std::uint32_t crc_of(std::span<const unsigned char> bytes);

}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
// The record of all mappings as it lies in preserved memory: version 1.
//
// A head, the memories, then slots for mappings; every one with a checksum of its own, so that one
// more or one less is written in place, in a time that does not depend on how many there are. The
// head counts them and sums them up, so that none can vanish. Little endian, as all of our hosts.
//
// Two kernels' programs read this: a change of the layout is a new version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <handover/handover.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mapping.h"

namespace handover::iommu {

inline constexpr std::uint32_t table_version = 1;
inline constexpr std::uint32_t most_memories = 256;
inline constexpr std::uint32_t most_slots = 1U << 24;

/// What holds for all mappings together.
struct TableHead {
  std::string device;       ///< "0000:00:05.0"
  bool bus_master = false;  ///< whether the device may make DMA when COMMAND goes on
  std::uint32_t ioas = 0;   ///< the number that the IOAS had

  bool operator==(const TableHead&) const = default;
};

struct TableContents {
  TableHead head;
  std::vector<Memory> memories;
  std::uint32_t slots = 0;
  std::vector<std::pair<Mapping, std::uint32_t>> mappings;  ///< each with its slot
};

std::size_t table_bytes(std::size_t memories, std::uint32_t slots);

/// All that a table says, or the one line that says what is wrong with it. Never trusts a byte.
client::Result<TableContents> read_table(std::span<const std::byte> bytes);

/// Writes a table in place. The bytes are the caller's and outlive it.
class TableWriter {
 public:
  /// A new table without mappings. `bytes` must be at least table_bytes() and all zero.
  static TableWriter make(std::span<std::byte> bytes, const TableHead& head,
                          const std::vector<Memory>& memories, std::uint32_t slots);
  /// Goes on with a table that read_table() found good.
  TableWriter(std::span<std::byte> bytes, const TableContents& contents);

  /// The slot it went to; ENOSPC if there is none left.
  client::Result<std::uint32_t> add(const Mapping& mapping);
  void remove(std::uint32_t slot);
  void set_head(const TableHead& head);

 private:
  TableWriter() = default;
  void write_head();
  [[nodiscard]] std::span<std::byte> slot_bytes(std::uint32_t slot) const;

  std::span<std::byte> bytes_;
  TableHead head_;
  std::uint32_t memories_ = 0;
  std::uint32_t slots_ = 0;
  std::uint32_t used_ = 0;
  std::uint64_t sum_ = 0;
  std::vector<std::uint32_t> free_;  ///< the next one last
};

}  // namespace handover::iommu

// SPDX-License-Identifier: LGPL-2.1-or-later
// What is mapped where: one mapping, and the rules that a set of them keeps.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <map>
#include <string>
#include <vector>

namespace handover::iommu {

inline constexpr std::uint32_t right_read = 1;   ///< the device may read
inline constexpr std::uint32_t right_write = 2;  ///< the device may write

struct Mapping {
  std::uint64_t iova = 0;
  std::uint64_t length = 0;
  std::uint64_t offset = 0;  ///< in the memory
  std::uint32_t memory = 0;  ///< which one: its place among the memories
  std::uint32_t rights = 0;

  bool operator==(const Mapping&) const = default;
};

/// Memory that can be mapped.
struct Memory {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint64_t token = 0;  ///< in our session; 0: its owner's, handed to us

  bool operator==(const Memory&) const = default;
};

/// Both ends included.
struct Range {
  std::uint64_t first = 0;
  std::uint64_t last = UINT64_MAX;

  bool operator==(const Range&) const = default;
};

/// Where a device can reach, and in what steps.
struct Limits {
  std::vector<Range> usable = {Range{}};  ///< in ascending order
  std::uint64_t alignment = 4096;
};

/// "0x1000".
std::string hex(std::uint64_t value);
/// "0x1000-0x1fff".
std::string describe(const Mapping& mapping);
/// The same of each, "0x0-0xfedfffff, 0xfef00000-0x7fffffffff".
std::string describe(const std::vector<Range>& ranges);

/// Is `inner` inside one of the ranges?
bool contains(const std::vector<Range>& ranges, const Range& inner);

/// Mappings that do not overlap, each with the place of its record. Pure: nothing is mapped here.
class MappingSet {
 public:
  using Entries = std::map<std::uint64_t, std::pair<Mapping, std::uint32_t>>;  ///< by IOVA

  /// May `mapping` be added? The error is one line that names what is wrong with it.
  [[nodiscard]] client::Result<void> check(const Mapping& mapping,
                                           const std::vector<Memory>& memories,
                                           const Limits& limits) const;
  /// Only what check() allows.
  void add(const Mapping& mapping, std::uint32_t slot);
  /// What begins at `iova` and is exactly `length` long.
  [[nodiscard]] client::Result<std::pair<Mapping, std::uint32_t>> find(std::uint64_t iova,
                                                                       std::uint64_t length) const;
  void remove(std::uint64_t iova);

  [[nodiscard]] const Entries& entries() const { return entries_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  Entries entries_;
  std::uint64_t bytes_ = 0;
};

}  // namespace handover::iommu

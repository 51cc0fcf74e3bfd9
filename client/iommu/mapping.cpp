// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mapping.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <iterator>

namespace handover::iommu {
namespace {

client::Error refuse(const Mapping& mapping, const std::string& why, int code = EINVAL) {
  return {"", "The mapping at IOVA " + hex(mapping.iova) + " " + why, code};
}

}  // namespace

std::string hex(std::uint64_t value) {
  char digits[16];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), value, 16);
  return "0x" + std::string(std::begin(digits), end.ptr);
}

std::string describe(const Mapping& mapping) {
  return hex(mapping.iova) + "-" + hex(mapping.iova + mapping.length - 1);
}

std::string describe(const std::vector<Range>& ranges) {
  std::string all;
  for (const auto& range : ranges) {
    all += (all.empty() ? "" : ", ") + hex(range.first) + "-" + hex(range.last);
  }
  return all;
}

bool contains(const std::vector<Range>& ranges, const Range& inner) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const Range& range) {
    return range.first <= inner.first && inner.last <= range.last;
  });
}

client::Result<void> MappingSet::check(const Mapping& mapping, const std::vector<Memory>& memories,
                                       const Limits& limits) const {
  if (mapping.length == 0) return refuse(mapping, "has no length.");
  const auto unaligned = [&](std::uint64_t value) { return value % limits.alignment != 0; };
  if (unaligned(mapping.iova) || unaligned(mapping.length) || unaligned(mapping.offset)) {
    return refuse(mapping, "is not aligned: IOVA, length " + hex(mapping.length) + " and offset " +
                               hex(mapping.offset) + " must be multiples of " +
                               std::to_string(limits.alignment) + ".");
  }
  if (mapping.rights == 0 || (mapping.rights & ~(right_read | right_write)) != 0) {
    return refuse(mapping, "must be readable, writable or both.");
  }
  if (mapping.length - 1 > UINT64_MAX - mapping.iova) {
    return refuse(mapping, "goes beyond the last address.", EOVERFLOW);
  }
  if (mapping.memory >= memories.size()) {
    return refuse(mapping, "is of memory that is not there.", ENOENT);
  }
  const auto& memory = memories[mapping.memory];
  if (mapping.offset > memory.bytes || mapping.length > memory.bytes - mapping.offset) {
    return refuse(mapping, "ends behind its memory '" + memory.name + "' of " +
                               std::to_string(memory.bytes) + " bytes.");
  }
  if (!contains(limits.usable, {mapping.iova, mapping.iova + mapping.length - 1})) {
    return refuse(mapping,
                  "ends at " + hex(mapping.iova + mapping.length - 1) +
                      ", outside what the device can use: " + describe(limits.usable) + ".",
                  ERANGE);
  }
  auto after = entries_.upper_bound(mapping.iova);
  const Mapping* other = nullptr;
  if (after != entries_.end() && after->first - mapping.iova < mapping.length) {
    other = &after->second.first;
  }
  if (after != entries_.begin()) {
    const auto& before = std::prev(after)->second.first;
    if (mapping.iova - before.iova < before.length) other = &before;
  }
  if (other) {
    return refuse(mapping, "overlaps the one at " + describe(*other) + ".", EEXIST);
  }
  return {};
}

void MappingSet::add(const Mapping& mapping, std::uint32_t slot) {
  entries_[mapping.iova] = {mapping, slot};
  bytes_ += mapping.length;
}

client::Result<std::pair<Mapping, std::uint32_t>> MappingSet::find(std::uint64_t iova,
                                                                   std::uint64_t length) const {
  const auto found = entries_.find(iova);
  if (found == entries_.end()) {
    return client::Error{"", "Nothing is mapped at IOVA " + hex(iova) + ".", ENOENT};
  }
  if (found->second.first.length != length) {
    return client::Error{"",
                         "The mapping at IOVA " + hex(iova) + " is " +
                             hex(found->second.first.length) + " long, not " + hex(length) +
                             ": only the whole of it can be removed.",
                         EINVAL};
  }
  return found->second;
}

void MappingSet::remove(std::uint64_t iova) {
  const auto found = entries_.find(iova);
  if (found == entries_.end()) return;
  bytes_ -= found->second.first.length;
  entries_.erase(found);
}

}  // namespace handover::iommu

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cerrno>

#include "iommu/mapping.h"

namespace handover::iommu {
namespace {

constexpr std::uint32_t both = right_read | right_write;
const std::vector<Memory> memories = {{"a", 0x10000, 16}, {"b", 0x1000, 0}};
const Limits limits{{{0x1000, 0xffff}, {0x20000, 0x2ffff}}, 4096};

/// 0 if it may be added.
int code(const MappingSet& set, const Mapping& mapping) {
  auto good = set.check(mapping, memories, limits);
  return good ? 0 : good.error().code;
}

MappingSet one() {
  MappingSet set;
  set.add({0x4000, 0x2000, 0, 0, both}, 7);
  return set;
}

TEST(IommuMapping, OverlapsOnEverySide) {
  const auto set = one();
  EXPECT_EQ(code(set, {0x4000, 0x2000, 0, 0, both}), EEXIST);
  EXPECT_EQ(code(set, {0x3000, 0x2000, 0, 0, both}), EEXIST);
  EXPECT_EQ(code(set, {0x5000, 0x2000, 0, 0, both}), EEXIST);
  EXPECT_EQ(code(set, {0x3000, 0x4000, 0, 0, both}), EEXIST);
  EXPECT_EQ(code(set, {0x5000, 0x1000, 0, 0, both}), EEXIST);
  EXPECT_EQ(code(set, {0x3000, 0x1000, 0, 0, both}), 0);
  EXPECT_EQ(code(set, {0x6000, 0x1000, 0, 0, both}), 0);
}

TEST(IommuMapping, AlignmentLengthRights) {
  const MappingSet set;
  EXPECT_EQ(code(set, {0x1001, 0x1000, 0, 0, both}), EINVAL);
  EXPECT_EQ(code(set, {0x1000, 0x1001, 0, 0, both}), EINVAL);
  EXPECT_EQ(code(set, {0x1000, 0x1000, 1, 0, both}), EINVAL);
  EXPECT_EQ(code(set, {0x1000, 0, 0, 0, both}), EINVAL);
  EXPECT_EQ(code(set, {0x1000, 0x1000, 0, 0, 0}), EINVAL);
  EXPECT_EQ(code(set, {0x1000, 0x1000, 0, 0, 4}), EINVAL);
  EXPECT_EQ(code(set, {0x1000, 0x1000, 0, 0, right_read}), 0);
}

TEST(IommuMapping, StaysInTheMemoryAndInReach) {
  const MappingSet set;
  EXPECT_EQ(code(set, {0x1000, 0x1000, 0, 2, both}), ENOENT);
  EXPECT_EQ(code(set, {0x1000, 0x1000, 0x1000, 1, both}), EINVAL);
  EXPECT_EQ(code(set, {0x1000, 0x2000, 0, 1, both}), EINVAL);
  EXPECT_EQ(code(set, {0x1000, 0x1000, 0xfffffffffffff000, 0, both}), EINVAL);
  EXPECT_EQ(code(set, {0x0000, 0x1000, 0, 0, both}), ERANGE);
  EXPECT_EQ(code(set, {0xf000, 0x2000, 0, 0, both}), ERANGE);
  EXPECT_EQ(code(set, {0x2f000, 0x1000, 0, 0, both}), 0);
  EXPECT_EQ(code(set, {0xfffffffffffff000, 0x2000, 0, 0, both}), EOVERFLOW);
  EXPECT_EQ(code(set, {0xfffffffffffff000, 0x1000, 0, 0, both}), ERANGE);
}

TEST(IommuMapping, IsRemovedAsAWhole) {
  auto set = one();
  EXPECT_EQ(set.find(0x4000, 0x1000).error().code, EINVAL);
  EXPECT_EQ(set.find(0x5000, 0x1000).error().code, ENOENT);
  EXPECT_EQ(set.find(0x4000, 0x2000)->second, 7U);
  EXPECT_EQ(set.bytes(), 0x2000U);
  set.remove(0x4000);
  set.remove(0x4000);
  EXPECT_EQ(set.size(), 0U);
  EXPECT_EQ(set.bytes(), 0U);
}

}  // namespace
}  // namespace handover::iommu

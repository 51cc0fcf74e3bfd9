// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "iommu/request.h"

namespace handover::iommu {
namespace {

std::vector<std::byte> packet(int operation, const std::vector<handover_iommu_mapping>& mappings) {
  handover_iommu_request head = {};
  head.size = static_cast<std::uint32_t>(sizeof(head) + mappings.size() * sizeof(mappings[0]));
  head.version = HANDOVER_IOMMU_PROTOCOL_VERSION;
  head.operation = static_cast<std::uint16_t>(operation);
  head.count = static_cast<std::uint32_t>(mappings.size());
  std::vector<std::byte> bytes(head.size);
  std::memcpy(bytes.data(), &head, sizeof(head));
  if (!mappings.empty()) {
    std::memcpy(bytes.data() + sizeof(head), mappings.data(), bytes.size() - sizeof(head));
  }
  return bytes;
}

const handover_iommu_mapping one{0x1000, 0x2000, 0x3000, 1, HANDOVER_IOMMU_READ};

TEST(IommuRequest, IsUnderstood) {
  auto request = parse_request(packet(HANDOVER_IOMMU_OPERATION_MAP, {one, one}));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->operation, Request::Operation::map);
  EXPECT_EQ(request->mappings,
            (std::vector<Mapping>(2, Mapping{0x1000, 0x2000, 0x3000, 1, right_read})));
  request = parse_request(packet(HANDOVER_IOMMU_OPERATION_UNMAP, {{0x1000, 0x2000, 0, 0, 0}}));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->operation, Request::Operation::unmap);
  const std::vector<handover_iommu_mapping> most(HANDOVER_IOMMU_MOST_MAPPINGS, one);
  EXPECT_TRUE(parse_request(packet(HANDOVER_IOMMU_OPERATION_MAP, most)));
}

TEST(IommuRequest, AnythingElseIsRefused) {
  const auto good = packet(HANDOVER_IOMMU_OPERATION_MAP, {one});
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_request(std::span(good).first(size))) << size;
  }
  auto longer = good;
  longer.push_back({});
  EXPECT_FALSE(parse_request(longer));
  EXPECT_FALSE(parse_request(packet(HANDOVER_IOMMU_OPERATION_MAP, {})));
  EXPECT_FALSE(parse_request(packet(0, {one})));
  EXPECT_FALSE(parse_request(packet(3, {one})));
  EXPECT_FALSE(parse_request(packet(HANDOVER_IOMMU_OPERATION_UNMAP, {one})));
  const std::vector<handover_iommu_mapping> many(HANDOVER_IOMMU_MOST_MAPPINGS + 1, one);
  EXPECT_FALSE(parse_request(packet(HANDOVER_IOMMU_OPERATION_MAP, many)));
  // Every byte of the head matters, but for the operation's change into the other one.
  for (std::size_t i = 0; i < sizeof(handover_iommu_request); ++i) {
    auto bytes = good;
    bytes[i] ^= std::byte{0x80};
    EXPECT_FALSE(parse_request(bytes)) << i;
  }
}

TEST(IommuRequest, AnswersCarryErrnoAndALine) {
  auto answer = answer_to({});
  EXPECT_EQ(answer.error, 0U);
  answer = answer_to(client::Error{"", std::string(1000, 'x'), EEXIST});
  EXPECT_EQ(answer.error, unsigned{EEXIST});
  EXPECT_EQ(strnlen(answer.message, sizeof(answer.message)), sizeof(answer.message) - 1);
  // An error without a number is none that the library could take for success.
  EXPECT_EQ(answer_to(client::Error{"", "x", 0}).error, unsigned{EIO});
}

}  // namespace
}  // namespace handover::iommu

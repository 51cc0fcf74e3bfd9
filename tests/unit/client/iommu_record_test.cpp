// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "iommu/record.h"

namespace handover::iommu {
namespace {

constexpr std::uint32_t both = right_read | right_write;
const TableHead head{"0000:00:05.0", true, 3};
const std::vector<Memory> memories = {{"buffers", 1U << 20, 16}};

client::Fd duplicate(int fd) { return client::Fd(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

TEST(IommuRecord, IsFoundAgainInItsFile) {
  Record record;
  ASSERT_TRUE(record.make(head, memories, 3));
  ASSERT_TRUE(record.add({0x1000, 0x1000, 0, 0, both}));
  ASSERT_TRUE(record.add({0x5000, 0x2000, 0x3000, 0, right_read}));
  record.remove(0x1000);
  record.remove(0x1000);

  Record next;
  ASSERT_TRUE(next.load(duplicate(record.file())));
  EXPECT_EQ(next.head(), head);
  EXPECT_EQ(next.memories(), memories);
  ASSERT_EQ(next.mappings().size(), 1U);
  EXPECT_EQ(next.mappings().entries().begin()->second.first,
            (Mapping{0x5000, 0x2000, 0x3000, 0, right_read}));
  // And it is kept true from there on.
  ASSERT_TRUE(next.add({0x8000, 0x1000, 0, 0, both}));
  ASSERT_TRUE(next.add({0x9000, 0x1000, 0, 0, both}));
  EXPECT_FALSE(next.add({0xa000, 0x1000, 0, 0, both}));
  Record third;
  ASSERT_TRUE(third.load(duplicate(next.file())));
  EXPECT_EQ(third.mappings().size(), 3U);
}

TEST(IommuRecord, ADamagedOneIsRefused) {
  Record record;
  ASSERT_TRUE(record.make(head, memories, 3));
  const char byte = 1;
  ASSERT_EQ(pwrite(record.file(), &byte, 1, 20), 1);
  Record next;
  EXPECT_FALSE(next.load(duplicate(record.file())));
}

}  // namespace
}  // namespace handover::iommu

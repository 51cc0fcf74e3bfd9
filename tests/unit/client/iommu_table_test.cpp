// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "iommu/table.h"

namespace handover::iommu {
namespace {

constexpr std::uint32_t both = right_read | right_write;
constexpr std::uint32_t slots = 6;
const std::vector<Memory> memories = {{"buffers", 0x100000, 16}, {std::string(63, 'x'), 0x2000, 0}};
const TableHead head{"0000:00:05.0", true, 3};
const Mapping first{0x1000, 0x2000, 0x3000, 0, both};
const Mapping second{0x100000, 0x1000, 0, 1, right_read};

struct Table {
  Table() : bytes(table_bytes(memories.size(), slots)) {
    writer.emplace(TableWriter::make(bytes, head, memories, slots));
  }
  std::vector<std::byte> bytes;
  std::optional<TableWriter> writer;
};

std::vector<Mapping> mappings_of(const TableContents& contents) {
  std::vector<Mapping> all;
  for (const auto& [mapping, slot] : contents.mappings) all.push_back(mapping);
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.iova < b.iova; });
  return all;
}

TEST(IommuTable, GivesBackWhatWasWritten) {
  Table table;
  ASSERT_TRUE(table.writer->add(first));
  ASSERT_TRUE(table.writer->add(second));
  auto contents = read_table(table.bytes);
  ASSERT_TRUE(contents) << contents.error().message;
  EXPECT_EQ(contents->head, head);
  EXPECT_EQ(contents->memories, memories);
  EXPECT_EQ(mappings_of(*contents), (std::vector<Mapping>{first, second}));
}

TEST(IommuTable, GoesOnWhereAnotherLeftOff) {
  Table table;
  auto slot = table.writer->add(first);
  ASSERT_TRUE(slot);
  TableWriter next(table.bytes, *read_table(table.bytes));
  ASSERT_TRUE(next.add(second));
  next.remove(*slot);
  next.set_head({"0000:00:06.0", false, 9});
  auto contents = read_table(table.bytes);
  ASSERT_TRUE(contents) << contents.error().message;
  EXPECT_EQ(mappings_of(*contents), std::vector<Mapping>{second});
  EXPECT_EQ(contents->head, (TableHead{"0000:00:06.0", false, 9}));
}

TEST(IommuTable, IsFullAndThenNot) {
  Table table;
  Mapping mapping = first;
  std::uint32_t last = 0;
  for (std::uint32_t i = 0; i < slots; ++i) {
    auto slot = table.writer->add(mapping);
    ASSERT_TRUE(slot);
    last = *slot;
    mapping.iova += mapping.length;
  }
  EXPECT_EQ(table.writer->add(mapping).error().code, ENOSPC);
  table.writer->remove(last);
  EXPECT_TRUE(table.writer->add(mapping));
  EXPECT_EQ(read_table(table.bytes)->mappings.size(), slots);
}

TEST(IommuTable, NoByteCanChangeUnseen) {
  Table table;
  ASSERT_TRUE(table.writer->add(first));
  ASSERT_TRUE(table.writer->add(second));
  for (std::size_t i = 0; i < table.bytes.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto bytes = table.bytes;
      bytes[i] ^= std::byte{1} << bit;
      EXPECT_FALSE(read_table(bytes)) << "byte " << i << ", bit " << bit;
    }
    for (const auto value : {std::byte{0}, std::byte{0xff}}) {
      auto bytes = table.bytes;
      if (bytes[i] == value) continue;
      bytes[i] = value;
      EXPECT_FALSE(read_table(bytes)) << "byte " << i;
    }
  }
}

TEST(IommuTable, NoMappingCanVanishOrMove) {
  Table table;
  const auto a = table.writer->add(first);
  const auto b = table.writer->add(second);
  ASSERT_TRUE(a && b);
  const std::size_t begin = table.bytes.size() - std::size_t{slots} * 40;
  for (std::uint32_t from = 0; from < slots; ++from) {
    for (std::uint32_t to = 0; to < slots; ++to) {
      auto bytes = table.bytes;
      std::copy_n(table.bytes.begin() + begin + from * 40, 40, bytes.begin() + begin + to * 40);
      const auto changed = bytes != table.bytes;
      EXPECT_EQ(static_cast<bool>(read_table(bytes)), !changed) << from << " over " << to;
    }
  }
}

TEST(IommuTable, EveryTruncationIsRefused) {
  Table table;
  ASSERT_TRUE(table.writer->add(first));
  for (std::size_t size = 0; size < table.bytes.size(); ++size) {
    EXPECT_FALSE(read_table(std::span(table.bytes).first(size))) << size;
  }
  // What lies behind it, up to the end of its page, is nobody's.
  table.bytes.resize(table.bytes.size() + 100, std::byte{7});
  EXPECT_TRUE(read_table(table.bytes));
}

TEST(IommuTable, ANewerOneIsNamedAsSuch) {
  Table table;
  const std::uint32_t newer = table_version + 1;
  std::memcpy(table.bytes.data() + 8, &newer, sizeof(newer));
  EXPECT_EQ(read_table(table.bytes).error().code, EPROTONOSUPPORT);
}

TEST(IommuTable, WellFormedButImpossibleIsRefused) {
  for (const auto& bad : {Mapping{0x2000, 0x1000, 0, 0, both},  // overlaps `first`
                          Mapping{0x9000, 0x1000, 0, 2, both},  // no such memory
                          Mapping{0x9000, 0x3000, 0, 1, both},  // larger than it
                          Mapping{0x9000, 0x1000, 0, 0, 8}}) {  // no such right
    Table table;
    ASSERT_TRUE(table.writer->add(first));
    ASSERT_TRUE(table.writer->add(bad));
    EXPECT_FALSE(read_table(table.bytes)) << describe(bad);
  }
}

}  // namespace
}  // namespace handover::iommu

// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs, extents and pieces, and the bytes that lie between two kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <string_view>
#include <vector>

#include "pages.h"

namespace handover {
namespace {

u32 standard_crc32c(std::string_view text) { return ~crc32c(~0U, text.data(), text.size()); }

TEST(Crc32c, IsTheOneOfRfc3720) {
  EXPECT_EQ(standard_crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(standard_crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(standard_crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  std::string ascending(32, '\0');
  std::iota(ascending.begin(), ascending.end(), '\0');
  EXPECT_EQ(standard_crc32c(ascending), 0x46dd794eU);
}

TEST(Crc32c, OfPartsIsThatOfTheWhole) {
  std::string text(100, '\0');
  std::mt19937 random(1);
  std::generate(text.begin(), text.end(), [&] { return static_cast<char>(random()); });
  const u32 whole = crc32c(~0U, text.data(), text.size());
  for (std::size_t at = 0; at <= text.size(); ++at) {
    EXPECT_EQ(crc32c(crc32c(~0U, text.data(), at), text.data() + at, text.size() - at), whole);
  }
}

// Packing ---------------------------------------------------------------------------------------

void expect_same(const ho_run& run, ho_run_record record) {
  EXPECT_EQ(ho_run_pack(run), record);
  const ho_run back = ho_run_unpack(record);
  EXPECT_EQ(back.pfn, run.pfn);
  EXPECT_EQ(back.nr, run.nr);
  EXPECT_EQ(back.order, run.order);
}

TEST(Run, ComesBackAtEveryLimit) {
  expect_same({0, 1, 0}, 0);
  expect_same({HO_MAX_PFN - 1, 1, 0}, 0xffffffffff000000);
  expect_same({0, HO_RUN_MAX_COUNT, 0}, 0x3ffff);
  expect_same({0, 1, HO_MAX_ORDER}, 18 << 18);
  expect_same({0, 1, 63}, 63 << 18);  // no check lets it pass
  expect_same({HO_MAX_PFN - 1, HO_RUN_MAX_COUNT, 63}, ~0ULL);
  expect_same({0x12345678, 0x155, 9}, 0x12345678240154);
}

TEST(Run, IsAnyRecordUnpackedAndPacked) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const ho_run_record record = random();
    EXPECT_EQ(ho_run_pack(ho_run_unpack(record)), record);
  }
}

TEST(Run, HasThePagesOfItsFolios) {
  EXPECT_EQ(ho_run_pages({0, 7, 0}), 7U);
  EXPECT_EQ(ho_run_pages({0, 7, 9}), 7U * 512);
  EXPECT_EQ(ho_run_pages({0, HO_RUN_MAX_COUNT, HO_MAX_ORDER}), 1ULL << 36);
}

void expect_same(const ho_extent& extent, u64 where) {
  const ho_extent_record record = ho_extent_pack(extent);
  EXPECT_EQ(u64{record.index}, extent.index);
  EXPECT_EQ(u64{record.where}, where);
  const ho_extent back = ho_extent_unpack(record);
  EXPECT_EQ(back.index, extent.index);
  EXPECT_EQ(back.pfn, extent.pfn);
  EXPECT_EQ(back.nr, extent.nr);
}

TEST(Extent, ComesBackAtEveryLimit) {
  expect_same(ho_extent{0, 0, 1}, 0);
  expect_same(ho_extent{~0ULL, 0, 1}, 0);
  expect_same(ho_extent{0, HO_MAX_PFN - 1, 1}, 0xffffffffff000000);
  expect_same(ho_extent{0, 0, HO_EXTENT_MAX_PAGES}, 0xffffff);
  expect_same(ho_extent{~0ULL, HO_MAX_PFN - 1, HO_EXTENT_MAX_PAGES}, ~0ULL);
  expect_same(ho_extent{5, 0x12345678, 0x100}, 0x123456780000ff);
}

// Pieces ----------------------------------------------------------------------------------------

/// Of each frame of `run` in turn, found by ho_piece(): in order, without gap or overlap.
std::vector<struct ho_piece> pieces_of(const ho_run& run) {
  std::vector<struct ho_piece> pieces;
  const u64 end = run.pfn + ho_run_pages(run);
  for (u64 pfn = run.pfn; pfn < end;) {
    const struct ho_piece piece = ho_piece(run, pfn);
    EXPECT_EQ(piece.pfn, pfn);
    EXPECT_GT(piece.nr, 0U);
    EXPECT_LE(piece.nr, end - pfn);
    EXPECT_EQ(piece.order, run.order);
    if (piece.nr == 0) break;
    for (const u64 inside : {u64{0}, piece.nr / 2, piece.nr - 1}) {
      const struct ho_piece same = ho_piece(run, pfn + inside);
      EXPECT_EQ(same.pfn, piece.pfn);
      EXPECT_EQ(same.nr, piece.nr);
      EXPECT_EQ(same.order, piece.order);
    }
    pieces.push_back(piece);
    pfn += piece.nr;
  }
  EXPECT_EQ(ho_run_pieces(run), pieces.size());
  return pieces;
}

struct Lengths {
  ho_run run;
  std::vector<u64> pages;  // of each piece
};

TEST(Piece, OfSinglePagesIsAWindowOfTheRun) {
  const std::vector<Lengths> cases = {
      {{0, 1, 0}, {1}},
      {{511, 1, 0}, {1}},
      {{512, 1, 0}, {1}},
      {{0, 511, 0}, {511}},
      {{0, 512, 0}, {512}},
      {{0, 513, 0}, {512, 1}},
      {{1, 511, 0}, {511}},
      {{1, 512, 0}, {511, 1}},
      {{511, 2, 0}, {1, 1}},
      {{511, 514, 0}, {1, 512, 1}},
      {{512, 1024, 0}, {512, 512}},
      {{1000, 2000, 0}, {24, 512, 512, 512, 440}},
      {{HO_MAX_PFN - 513, 513, 0}, {1, 512}},
      {{HO_MAX_PFN - 1, 1, 0}, {1}},
  };
  for (const Lengths& expected : cases) {
    SCOPED_TRACE(testing::Message() << expected.run.pfn << " + " << expected.run.nr);
    std::vector<u64> pages;
    for (const auto& piece : pieces_of(expected.run)) pages.push_back(piece.nr);
    EXPECT_EQ(pages, expected.pages);
  }
}

TEST(Piece, OfSinglePagesNeverCrossesAnAlignment) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 2'000; ++i) {
    const ho_run run = {random() % 4096, static_cast<u32>(1 + random() % 5000), 0};
    for (const auto& piece : pieces_of(run)) {
      EXPECT_EQ(piece.pfn / 512, (piece.pfn + piece.nr - 1) / 512);
    }
  }
}

TEST(Piece, OfFoliosIsOneFolio) {
  for (u32 order = 1; order <= HO_MAX_ORDER; ++order) {
    for (const u64 at : {u64{0}, u64{1}, u64{5}, (HO_MAX_PFN >> order) - 3}) {
      const auto pieces = pieces_of({at << order, 3, order});
      ASSERT_EQ(pieces.size(), 3U);
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(pieces[i].pfn, (at + i) << order);
        EXPECT_EQ(pieces[i].nr, 1ULL << order);
      }
    }
  }
}

TEST(Piece, OfTheLongestRunsAreCounted) {
  EXPECT_EQ(ho_run_pieces({0, HO_RUN_MAX_COUNT, 0}), HO_RUN_MAX_COUNT / 512);
  EXPECT_EQ(ho_run_pieces({1, HO_RUN_MAX_COUNT, 0}), HO_RUN_MAX_COUNT / 512 + 1);
  EXPECT_EQ(ho_run_pieces({0, HO_RUN_MAX_COUNT, HO_MAX_ORDER}), HO_RUN_MAX_COUNT);
  EXPECT_EQ(pieces_of({1, HO_RUN_MAX_COUNT, 0}).size(), HO_RUN_MAX_COUNT / 512 + 1);
}

// What must not change without another version --------------------------------------------------

template <std::size_t Size>
void expect_bytes(const Page& page, std::size_t at, const std::array<u8, Size>& expected) {
  for (std::size_t i = 0; i < Size; ++i) {
    EXPECT_EQ(page.data()[at + i], expected[i]) << "byte " << at + i;
  }
}

constexpr std::size_t record_at = sizeof(ho_table_head);

TEST(Bytes, OfARootAndItsHead) {
  Page page(HO_TABLE_ROOT);
  page.root().generation = 0x0102030405060708;
  page.root().sessions = 0xabcdef000;
  page.root().nr_sessions = 0x11223344;
  page.root().consumed = 0x55667788;
  page.root().joined = {
      .directory = 0x123456000, .records = 0x0a0b0c, .pages = 0x0d0e, .reserved = 0};
  page.end();
  expect_bytes<72>(page, 0, {'H',  'O',  2,    0,    0x49, 0x99, 0x63, 0x51,  //
                             1,    0,    1,    0,    0,    0,    0,    0,     //
                             0,    0,    0,    0,    0,    0,    0,    0,     //
                             0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,  //
                             0x00, 0xf0, 0xde, 0xbc, 0x0a, 0,    0,    0,     //
                             0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55,  //
                             0x00, 0x60, 0x45, 0x23, 0x01, 0,    0,    0,     //
                             0x0c, 0x0b, 0x0a, 0,    0,    0,    0,    0,     //
                             0x0e, 0x0d, 0,    0,    0,    0,    0,    0});
}

TEST(Bytes, OfASession) {
  Page page(HO_TABLE_SESSIONS);
  page.head().next = 0x7000;
  page.add(ho_session_record{"vm", 0x0102030405060708, 0x11223344, 0x55667788, 0xabc000});
  page.end();
  expect_bytes<24>(page, 0, {'H',  'O',  2, 0, 0xbd, 0x34, 0x70, 0xfd,  //
                             2,    0,    1, 0, 0,    0,    0,    0,     //
                             0x00, 0x70, 0, 0, 0,    0,    0,    0});
  expect_bytes<4>(page, record_at, {'v', 'm', 0, 0});
  expect_bytes<24>(page, record_at + 64, {0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,  //
                                          0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55,  //
                                          0x00, 0xc0, 0xab, 0,    0,    0,    0,    0});
}

TEST(Bytes, OfAnEntry) {
  Page page(HO_TABLE_ENTRIES);
  page.add(ho_entry_record{0x0102030405060708, 6, 1, 0x1111, 0x2222, 0x3333, 0x4444,
                           ho_table_reference{0x5000, 0x66, 0x77, 0},
                           ho_table_reference{0x8000, 0x99, 0xaa, 0}, 0xb000, 0xcc});
  page.end();
  expect_bytes<112>(page, record_at,
                    {0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,                             //
                     6,    0,    0,    0,    1,    0,    0,    0,                                //
                     0x11, 0x11, 0,    0,    0,    0,    0,    0,                                //
                     0x22, 0x22, 0,    0,    0,    0,    0,    0,                                //
                     0x33, 0x33, 0,    0,    0,    0,    0,    0,                                //
                     0x44, 0x44, 0,    0,    0,    0,    0,    0,                                //
                     0,    0x50, 0,    0,    0,    0,    0,    0,                                //
                     0x66, 0,    0,    0,    0,    0,    0,    0,    0x77, 0, 0, 0, 0, 0, 0, 0,  //
                     0,    0x80, 0,    0,    0,    0,    0,    0,                                //
                     0x99, 0,    0,    0,    0,    0,    0,    0,    0xaa, 0, 0, 0, 0, 0, 0, 0,  //
                     0,    0xb0, 0,    0,    0,    0,    0,    0,                                //
                     0xcc, 0,    0,    0,    0,    0,    0,    0});
}

TEST(Bytes, OfWhatListsMemory) {
  Page directory(HO_TABLE_DIRECTORY);
  directory.add(ho_directory_record{0xabc000, 0x0102030405060708});
  expect_bytes<16>(directory, record_at, {0, 0xc0, 0xab, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1});

  Page extents(HO_TABLE_EXTENTS);
  extents.add(ho_extent_pack({0x0102030405060708, 0x1122334455, 0x100}));
  expect_bytes<16>(extents, record_at,
                   {8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0, 0, 0x55, 0x44, 0x33, 0x22, 0x11});

  Page runs(HO_TABLE_RUNS);
  runs.add(ho_run_pack({0x1122334455, 0x101, 9}));
  expect_bytes<8>(runs, record_at, {0, 1, 0x24, 0x55, 0x44, 0x33, 0x22, 0x11});
}

TEST(Bytes, SoManyRecordsFitOnAPage) {
  EXPECT_EQ(HO_SESSIONS_PER_PAGE, 46U);
  EXPECT_EQ(HO_ENTRIES_PER_PAGE, 36U);
  EXPECT_EQ(HO_DIRECTORY_PER_PAGE, 254U);
  EXPECT_EQ(HO_EXTENTS_PER_PAGE, 254U);
  EXPECT_EQ(HO_RUNS_PER_PAGE, 509U);
}

}  // namespace
}  // namespace handover

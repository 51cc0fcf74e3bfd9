// SPDX-License-Identifier: LGPL-2.1-or-later
// Looking pages and frames up: at every border, and in whole maps against a plain one.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "pages.h"

namespace handover {
namespace {

// One page --------------------------------------------------------------------------------------

TEST(DirectoryFind, IsTheLastOneNotAboveTheKey) {
  const std::vector<ho_directory_record> records = {
      {0x1000, 10}, {0x2000, 20}, {0x3000, 21}, {0x4000, ~0ULL}};
  EXPECT_EQ(ho_directory_find(nullptr, 0, 0), -1);
  EXPECT_EQ(ho_directory_find(nullptr, 0, ~0ULL), -1);
  EXPECT_EQ(ho_directory_find(records.data(), 4, 0), -1);
  EXPECT_EQ(ho_directory_find(records.data(), 4, 9), -1);
  EXPECT_EQ(ho_directory_find(records.data(), 4, 10), 0);
  EXPECT_EQ(ho_directory_find(records.data(), 4, 19), 0);
  EXPECT_EQ(ho_directory_find(records.data(), 4, 20), 1);
  EXPECT_EQ(ho_directory_find(records.data(), 4, 21), 2);
  EXPECT_EQ(ho_directory_find(records.data(), 4, ~0ULL - 1), 2);
  EXPECT_EQ(ho_directory_find(records.data(), 4, ~0ULL), 3);
  EXPECT_EQ(ho_directory_find(records.data(), 3, ~0ULL), 2);
  EXPECT_EQ(ho_directory_find(records.data(), 1, ~0ULL), 0);
}

TEST(DirectoryFind, IsThatForEveryLength) {
  std::vector<ho_directory_record> records;
  for (u64 count = 0; count < 70; ++count) {
    for (u64 key = 0; key < 3 * count + 3; ++key) {
      const auto expected = static_cast<long>(std::min((key + 2) / 3, count)) - 1;
      EXPECT_EQ(ho_directory_find(records.data(), count, key), expected) << key << " of " << count;
    }
    records.push_back({0x1000, 3 * count + 1});
  }
}

std::optional<ho_extent> find_extent(const Page& page, u64 index) {
  ho_extent found{};
  if (ho_extents_find(page.data(), index, &found)) return found;
  return std::nullopt;
}

std::optional<ho_run> find_run(const Page& page, u64 pfn) {
  ho_run found{};
  if (ho_runs_find(page.data(), pfn, &found)) return found;
  return std::nullopt;
}

TEST(Find, FindsNothingOnAnEmptyPage) {
  for (const u64 key : {u64{0}, u64{1}, ~0ULL}) {
    EXPECT_FALSE(find_extent(Page(HO_TABLE_EXTENTS), key));
    EXPECT_FALSE(find_run(Page(HO_TABLE_RUNS), key));
  }
}

TEST(Find, KnowsTheBordersOfOneRecord) {
  Page extents(HO_TABLE_EXTENTS);
  extents.add(ho_extent_pack({10, 500, 5}));
  Page runs(HO_TABLE_RUNS);
  runs.add(ho_run_pack({8, 3, 2}));
  for (u64 key = 0; key < 30; ++key) {
    EXPECT_EQ(find_extent(extents, key).has_value(), key >= 10 && key < 15) << key;
    EXPECT_EQ(find_run(runs, key).has_value(), key >= 8 && key < 20) << key;
  }
  EXPECT_FALSE(find_extent(extents, ~0ULL));
  EXPECT_FALSE(find_run(runs, ~0ULL));
  EXPECT_EQ(find_extent(extents, 14)->index, 10U);
  EXPECT_EQ(find_extent(extents, 14)->pfn, 500U);
  EXPECT_EQ(find_extent(extents, 14)->nr, 5U);
  EXPECT_EQ(find_run(runs, 19)->pfn, 8U);
  EXPECT_EQ(find_run(runs, 19)->nr, 3U);
  EXPECT_EQ(find_run(runs, 19)->order, 2U);
}

TEST(Find, ReachesTheLastOfAllNumbers) {
  Page extents(HO_TABLE_EXTENTS);
  extents.add(ho_extent_pack({0, 1, HO_EXTENT_MAX_PAGES}));
  extents.add(ho_extent_pack({~0ULL - 1, 2, 1}));
  EXPECT_EQ(find_extent(extents, HO_EXTENT_MAX_PAGES - 1)->pfn, 1U);
  EXPECT_FALSE(find_extent(extents, HO_EXTENT_MAX_PAGES));
  EXPECT_EQ(find_extent(extents, ~0ULL - 1)->pfn, 2U);
  EXPECT_FALSE(find_extent(extents, ~0ULL));

  Page runs(HO_TABLE_RUNS);
  runs.add(ho_run_pack({0, HO_RUN_MAX_COUNT, HO_MAX_ORDER}));
  runs.add(ho_run_pack({HO_MAX_PFN - 1, 1, 0}));
  EXPECT_EQ(find_run(runs, (1ULL << 36) - 1)->pfn, 0U);
  EXPECT_FALSE(find_run(runs, 1ULL << 36));
  EXPECT_EQ(find_run(runs, HO_MAX_PFN - 1)->pfn, HO_MAX_PFN - 1);
  EXPECT_FALSE(find_run(runs, HO_MAX_PFN));
}

TEST(Find, FindsEachOfAFullPageAndNoHole) {
  Page extents(HO_TABLE_EXTENTS);
  for (u64 i = 0; i < HO_EXTENTS_PER_PAGE; ++i) extents.add(ho_extent_pack({5 * i + 2, i, 3}));
  Page runs(HO_TABLE_RUNS);
  for (u64 i = 0; i < HO_RUNS_PER_PAGE; ++i) runs.add(ho_run_pack({5 * i + 2, 3, 0}));
  for (u64 key = 0; key < 5 * HO_RUNS_PER_PAGE + 10; ++key) {
    const bool inside = key >= 2 && (key - 2) % 5 < 3;
    const u64 number = (key - 2) / 5;
    const auto extent = find_extent(extents, key);
    ASSERT_EQ(extent.has_value(), inside && number < HO_EXTENTS_PER_PAGE) << key;
    if (extent) {
      EXPECT_EQ(extent->pfn, number);
    }
    const auto run = find_run(runs, key);
    ASSERT_EQ(run.has_value(), inside && number < HO_RUNS_PER_PAGE) << key;
    if (run) {
      EXPECT_EQ(run->pfn, 5 * number + 2);
    }
  }
}

// Whole maps ------------------------------------------------------------------------------------

/// Some file: where its pages lie, and in which runs.
struct Map {
  std::map<u64, u64> pages;  // file page, frame
  std::vector<ho_extent> extents;
  std::vector<ho_run> runs;
  u64 limit = 0;  // pages of the file
};

/// `count` runs; the file's parts lie in them in any order, with holes.
Map random_map(std::mt19937_64& random, std::size_t count) {
  const auto chance = [&](unsigned one_in) { return random() % one_in == 0; };
  Map map;
  u64 pfn = random() % 2000;
  std::vector<std::pair<u64, u64>> parts;  // frame, pages: in one run each
  for (std::size_t i = 0; i < count; ++i) {
    const u32 order = chance(20) ? static_cast<u32>(1 + random() % 6) : 0;
    if (!chance(3)) pfn += 1 + random() % 8;
    pfn = (pfn + (1ULL << order) - 1) >> order << order;
    const u64 at_most = order != 0 ? 128 >> order : chance(500) ? 1100 : 4;
    const ho_run run = {pfn, static_cast<u32>(1 + random() % at_most), order};
    map.runs.push_back(run);
    for (u64 at = 0; at < ho_run_pages(run);) {
      const u64 nr = chance(2) ? ho_run_pages(run) - at : 1 + random() % (ho_run_pages(run) - at);
      parts.emplace_back(pfn + at, nr);
      at += nr;
    }
    pfn += ho_run_pages(run);
  }
  std::shuffle(parts.begin(), parts.end(), random);
  for (const auto& [start, nr] : parts) {
    if (chance(2)) map.limit += random() % 8;
    map.extents.push_back({map.limit, start, nr});
    for (u64 i = 0; i < nr; ++i) map.pages[map.limit + i] = start + i;
    map.limit += nr;
  }
  return map;
}

/// A table as the module keeps it: pages, and the records of all directory pages in a row.
struct Table {
  std::vector<Page> pages;
  std::vector<Page> directories;
  std::vector<ho_directory_record> directory;
};

/// Writes `records` to pages: sometimes not full ones.
template <typename Record, typename First>
Table write_table(std::mt19937_64& random, ho_table_type type, const std::vector<Record>& records,
                  First first) {
  const std::size_t room = HO_TABLE_ROOM / sizeof(Record);
  Table table;
  for (std::size_t at = 0; at < records.size();) {
    Page& page = table.pages.emplace_back(type);
    table.directory.push_back({table.pages.size() << HO_PAGE_SHIFT, first(records[at])});
    const std::size_t end =
        std::min(records.size(), at + (random() % 4 == 0 ? 1 + random() % room : room));
    for (; at < end; ++at) page.add(records[at]);
    page.end();
  }
  for (std::size_t at = 0; at < table.directory.size(); ++at) {
    if (at % HO_DIRECTORY_PER_PAGE == 0) {
      if (at > 0) {
        table.directories.back().head().next = 0x1000;
        table.directories.back().end();
      }
      table.directories.emplace_back(HO_TABLE_DIRECTORY);
    }
    table.directories.back().add(table.directory[at]);
  }
  if (!table.directories.empty()) table.directories.back().end();
  return table;
}

/// The page that may know of `key`; none if it lies before all of them.
const Page* page_of(const Table& table, u64 key) {
  const long at = ho_directory_find(table.directory.data(), table.directory.size(), key);
  return at < 0 ? nullptr : &table.pages.at(static_cast<std::size_t>(at));
}

class WholeMap : public testing::TestWithParam<std::pair<unsigned, std::size_t>> {};

TEST_P(WholeMap, FindsEveryPageWhereAPlainMapHasIt) {
  std::mt19937_64 random(GetParam().first);
  const Map map = random_map(random, GetParam().second);

  std::vector<ho_extent_record> extent_records;
  for (const auto& extent : map.extents) extent_records.push_back(ho_extent_pack(extent));
  const Table extents =
      write_table(random, HO_TABLE_EXTENTS, extent_records,
                  [](const ho_extent_record& record) { return ho_extent_unpack(record).index; });
  std::vector<ho_run_record> run_records;
  for (const auto& run : map.runs) run_records.push_back(ho_run_pack(run));
  const Table runs = write_table(random, HO_TABLE_RUNS, run_records,
                                 [](ho_run_record record) { return ho_run_unpack(record).pfn; });
  if (map.runs.size() > 50'000) {
    EXPECT_GT(extents.directories.size(), 1U);
  }

  // What was written passes.
  for (const Table* table : {&extents, &runs}) {
    for (const Page& page : table->directories) EXPECT_EQ(ho_directory_check(page.data()), 0);
  }
  for (std::size_t i = 0; i < extents.pages.size(); ++i) {
    EXPECT_EQ(ho_extents_check(extents.pages[i].data(), extents.directory[i].first, map.limit), 0);
  }
  for (std::size_t i = 0; i < runs.pages.size(); ++i) {
    EXPECT_EQ(ho_runs_check(runs.pages[i].data(), runs.directory[i].first), 0);
  }

  // Every page of the file, holes and what comes after its end.
  for (u64 index = 0; index < map.limit + 10; ++index) {
    const auto expected = map.pages.find(index);
    const Page* const page = page_of(extents, index);
    const auto extent = page != nullptr ? find_extent(*page, index) : std::nullopt;
    ASSERT_EQ(extent.has_value(), expected != map.pages.end()) << index;
    if (extent) {
      ASSERT_EQ(extent->pfn + (index - extent->index), expected->second) << index;
    }
  }

  // Every frame: its run, its piece, and the pieces together.
  std::map<u64, const ho_run*> frames;
  u64 pieces = 0;
  for (const ho_run& run : map.runs) {
    for (u64 i = 0; i < ho_run_pages(run); ++i) frames[run.pfn + i] = &run;
    pieces += ho_run_pieces(run);
  }
  u64 pieces_seen = 0;
  u64 pages_seen = 0;
  for (u64 pfn = 0; pfn < frames.rbegin()->first + 10; ++pfn) {
    const auto expected = frames.find(pfn);
    const Page* const page = page_of(runs, pfn);
    const auto run = page != nullptr ? find_run(*page, pfn) : std::nullopt;
    ASSERT_EQ(run.has_value(), expected != frames.end()) << pfn;
    if (!run) continue;
    ASSERT_EQ(run->pfn, expected->second->pfn);
    ASSERT_EQ(run->nr, expected->second->nr);
    ASSERT_EQ(run->order, expected->second->order);
    const auto piece = ho_piece(*run, pfn);
    ASSERT_LE(piece.pfn, pfn);
    ASSERT_GT(piece.pfn + piece.nr, pfn);
    ASSERT_EQ(frames.at(piece.pfn), expected->second);
    ASSERT_EQ(frames.at(piece.pfn + piece.nr - 1), expected->second);
    ++pages_seen;
    if (piece.pfn == pfn) ++pieces_seen;
  }
  EXPECT_EQ(pages_seen, frames.size());
  EXPECT_EQ(pieces_seen, pieces);
}

INSTANTIATE_TEST_SUITE_P(
    Seeds, WholeMap,
    testing::Values(std::pair(1U, std::size_t{1}), std::pair(2U, std::size_t{509}),
                    std::pair(3U, std::size_t{510}), std::pair(4U, std::size_t{2'000}),
                    std::pair(5U, std::size_t{5'000}), std::pair(6U, std::size_t{55'000})));

}  // namespace
}  // namespace handover

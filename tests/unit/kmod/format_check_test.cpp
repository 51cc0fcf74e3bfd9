// SPDX-License-Identifier: LGPL-2.1-or-later
// What each check lets pass, and that it refuses every damage and every wrong field by itself.
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "pages.h"

namespace handover {
namespace {

constexpr u64 above = HO_MAX_PFN << HO_PAGE_SHIFT;  // the first address that none can have
constexpr u64 some_index = 7;
constexpr u64 some_limit = 10'000;
constexpr u64 some_pfn = 0x1000;

/// What the samples below are checked for.
int check(const Page& page, ho_table_type type, u64 index = some_index, u64 limit = some_limit,
          u64 pfn = some_pfn) {
  switch (type) {
    case HO_TABLE_ROOT:
      return ho_root_check(page.data());
    case HO_TABLE_SESSIONS:
      return ho_sessions_check(page.data());
    case HO_TABLE_ENTRIES:
      return ho_entries_check(page.data());
    case HO_TABLE_DIRECTORY:
      return ho_directory_check(page.data());
    case HO_TABLE_EXTENTS:
      return ho_extents_check(page.data(), index, limit);
    case HO_TABLE_RUNS:
      return ho_runs_check(page.data(), pfn);
    default:
      return ho_table_check(page.data(), type);
  }
}

ho_session_record some_session() { return {"vm", 1 << 30, 8, 3, 0x200000}; }

ho_entry_record some_entry() {
  return {.token = 42,
          .kind = HANDOVER_KIND_SHMEM,
          .flags = 0,
          .size = 1 << 20,
          .position = 17,
          .nr_pages = 240,
          .nr_pieces = 5,
          .extents = {.directory = 0x300000, .records = 4, .pages = 1, .reserved = 0},
          .runs = {.directory = 0x301000, .records = 3, .pages = 2, .reserved = 0},
          .blob = 0,
          .blob_size = 0};
}

/// A good and full page of each type.
Page sample(ho_table_type type) {
  Page page(type);
  switch (type) {
    case HO_TABLE_ROOT:
      page.root().generation = 3;
      page.root().sessions = 0x100000;
      page.root().nr_sessions = 2;
      page.root().joined = {.directory = 0x300000, .records = 9, .pages = 2, .reserved = 0};
      break;
    case HO_TABLE_SESSIONS:
      for (u64 i = 0; i < HO_SESSIONS_PER_PAGE; ++i) page.add(some_session());
      break;
    case HO_TABLE_ENTRIES:
      for (u64 i = 0; i < HO_ENTRIES_PER_PAGE; ++i) page.add(some_entry());
      break;
    case HO_TABLE_DIRECTORY:
      for (u64 i = 0; i < HO_DIRECTORY_PER_PAGE; ++i) {
        page.add(ho_directory_record{(i + 1) << HO_PAGE_SHIFT, 100 * i});
      }
      break;
    case HO_TABLE_EXTENTS:
      for (u64 i = 0; i < HO_EXTENTS_PER_PAGE; ++i) {
        page.add(ho_extent_pack({some_index + 20 * i, 900'000 - 70 * i, 1 + i % 20}));
      }
      break;
    case HO_TABLE_RUNS:
      for (u64 i = 0; i < HO_RUNS_PER_PAGE; ++i) {
        const u32 order = i % 10;
        page.add(ho_run_pack({some_pfn + 1024 * i, order == 0 ? 1023U : 1023U >> order, order}));
      }
      break;
    default: {
      std::mt19937 random(1);
      for (u64 i = 0; i < HO_TABLE_ROOM; ++i) page.add(static_cast<u8>(random()));
    }
  }
  if (type != HO_TABLE_ROOT) page.head().next = 0x54321000;
  return std::move(page.end());
}

using Change = std::function<void(Page&)>;

/// The sample, changed and with a right CRC.
Page changed(ho_table_type type, const Change& change) {
  Page page = sample(type);
  change(page);
  return std::move(page.end());
}

class EachType : public testing::TestWithParam<ho_table_type> {
 protected:
  ho_table_type type() const { return GetParam(); }
};

std::string name_of(const testing::TestParamInfo<ho_table_type>& parameter) {
  static constexpr std::array names = {"None",      "Root",    "Sessions", "Entries",
                                       "Directory", "Extents", "Runs",     "Blob"};
  return names.at(parameter.param);
}

INSTANTIATE_TEST_SUITE_P(Format, EachType,
                         testing::Values(HO_TABLE_ROOT, HO_TABLE_SESSIONS, HO_TABLE_ENTRIES,
                                         HO_TABLE_DIRECTORY, HO_TABLE_EXTENTS, HO_TABLE_RUNS,
                                         HO_TABLE_BLOB),
                         name_of);

TEST_P(EachType, PassesAsItWasWritten) { EXPECT_EQ(check(sample(type()), type()), 0); }

// A CRC of 32 bits finds every damage that lies within 32 bits in a row.
TEST_P(EachType, IsRefusedWithAnyByteOrBitDamaged) {
  constexpr std::size_t version = offsetof(ho_table_head, version);
  constexpr std::size_t consumed = offsetof(ho_root, consumed);
  Page page = sample(type());
  for (std::size_t at = 0; at < HO_TABLE_SIZE; ++at) {
    int expected = at == version || at == version + 1 ? -EPROTO : -EBADMSG;
    if (type() == HO_TABLE_ROOT && at >= consumed && at < consumed + sizeof(u32)) expected = 0;
    for (const u8 flipped : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      page.data()[at] ^= flipped;
      ASSERT_EQ(check(page, type()), expected) << "byte " << at << " ^ " << int{flipped};
      page.data()[at] ^= flipped;
    }
  }
  EXPECT_EQ(check(page, type()), 0);
}

TEST_P(EachType, IsNoneOfTheOthers) {
  const Page page = sample(type());
  for (int other = 0; other <= HO_TABLE_TYPES; ++other) {
    EXPECT_EQ(ho_table_check(page.data(), static_cast<ho_table_type>(other)),
              other == type() ? 0 : -EBADMSG)
        << other;
    if (other == type()) continue;
    // Nor by a type that is wrong and has a right CRC.
    EXPECT_EQ(check(changed(type(), [&](Page& mistyped) { mistyped.head().type = other; }), type()),
              -EBADMSG);
  }
}

TEST_P(EachType, HasAHeadWithoutAWrongField) {
  struct Case {
    const char* what;
    Change change;
    int result = -EBADMSG;
  };
  const std::vector<Case> cases = {
      {"no magic", [](Page& page) { page.head().magic = 0; }},
      {"magic backwards", [](Page& page) { page.head().magic = 0x484f; }},
      {"an earlier version", [](Page& page) { page.head().version = HO_FORMAT_VERSION - 1; },
       -EPROTO},
      {"a later version", [](Page& page) { page.head().version = HO_FORMAT_VERSION + 1; }, -EPROTO},
      {"the last version", [](Page& page) { page.head().version = 0xffff; }, -EPROTO},
      {"a type with a high bit", [](Page& page) { page.head().type |= 0x100; }},
      {"one too many", [](Page& page) { ++page.head().count; }},
      {"far too many", [](Page& page) { page.head().count = 0xffff; }},
      {"reserved in use", [](Page& page) { page.head().reserved = 1; }},
      {"reserved in use, high", [](Page& page) { page.head().reserved = 1U << 31; }},
      {"next within a page", [](Page& page) { page.head().next = 0x54321008; }},
      {"next at an odd byte", [](Page& page) { page.head().next = 1; }},
      {"next above all memory", [](Page& page) { page.head().next = above; }},
      {"next far above all memory", [](Page& page) { page.head().next = ~0ULL << 12; }},
      {"a next of none",
       [](Page& page) {
         page.head().count = 0;
         page.head().next = 0x54321000;
       }},
  };
  for (const Case& wrong : cases) {
    EXPECT_EQ(check(changed(type(), wrong.change), type()), wrong.result) << wrong.what;
  }
  Page page = sample(type());
  page.head().crc = page.head().crc + 1;
  EXPECT_EQ(check(page, type()), -EBADMSG);
  page.head().crc = 0;
  EXPECT_EQ(check(page, type()), -EBADMSG);
}

TEST_P(EachType, MayBeTheLastOfItsChainAndAnywhere) {
  EXPECT_EQ(check(changed(type(), [](Page& page) { page.head().next = 0; }), type()), 0);
  if (type() == HO_TABLE_ROOT) return;
  EXPECT_EQ(check(changed(type(), [](Page& page) { page.head().next = above - 0x1000; }), type()),
            0);
}

TEST_P(EachType, MayBeShort) {
  if (type() == HO_TABLE_ROOT) return;
  EXPECT_EQ(check(changed(type(), [](Page& page) { page.head().count = 1; }), type()), 0);
}

TEST_P(EachType, IsEmptyOnlyIfNoDirectoryListsIt) {
  Page page(type());
  if (type() == HO_TABLE_ROOT) {
    EXPECT_EQ(page.head().count, 1);
    EXPECT_EQ(check(page.end(), type()), 0) << "no sessions";
    return;
  }
  EXPECT_EQ(page.head().count, 0);
  EXPECT_EQ(ho_table_check(page.end().data(), type()), 0);
  const bool listed = type() == HO_TABLE_EXTENTS || type() == HO_TABLE_RUNS;
  EXPECT_EQ(check(page, type()), listed ? -EBADMSG : 0);
  EXPECT_EQ(check(page, type(), 0, 0, 0), listed ? -EBADMSG : 0);
}

TEST_P(EachType, IsStartedOverWhateverWasThere) {
  Page page = sample(type());
  ho_table_start(page.data(), type());
  EXPECT_EQ(std::memcmp(page.data(), Page(type()).data(), HO_TABLE_SIZE), 0);
}

TEST(Check, KnowsNoTypeOutsideTheList) {
  for (const int type : {0, static_cast<int>(HO_TABLE_TYPES)}) {
    Page page(static_cast<ho_table_type>(type));
    EXPECT_EQ(ho_table_check(page.end().data(), static_cast<ho_table_type>(type)), -EBADMSG);
  }
}

TEST(Check, RefusesWhatIsNoTable) {
  Page page(HO_TABLE_BLOB);
  for (const int byte : {0, 0xff, 0x4f}) {
    std::memset(page.data(), byte, HO_TABLE_SIZE);
    for (int type = HO_TABLE_ROOT; type < HO_TABLE_TYPES; ++type) {
      EXPECT_EQ(check(page, static_cast<ho_table_type>(type)), -EBADMSG);
    }
  }
}

// Root ------------------------------------------------------------------------------------------

TEST(RootCheck, DoesNotLookAtWhatTheReaderSets) {
  Page page = sample(HO_TABLE_ROOT);
  for (const u32 consumed : {1U, 0x80000000U, ~0U}) {
    page.root().consumed = consumed;
    EXPECT_EQ(ho_root_check(page.data()), 0);
  }
  const u32 crc = page.head().crc;
  EXPECT_EQ(page.end().head().crc, crc);
}

TEST(RootCheck, WantsAnAddressAndACountOrNeither) {
  struct Case {
    u64 sessions;
    u32 count;
    int result;
  };
  for (const auto& [sessions, count, result] : std::vector<Case>{
           {0, 0, 0},
           {0x1000, 1, 0},
           {above - 0x1000, ~0U, 0},
           {0, 1, -EBADMSG},
           {0x1000, 0, -EBADMSG},
           {0x1001, 1, -EBADMSG},
           {0x800, 1, -EBADMSG},
           {above, 1, -EBADMSG},
           {~0ULL, 1, -EBADMSG},
       }) {
    Page page = sample(HO_TABLE_ROOT);
    page.root().sessions = sessions;
    page.root().nr_sessions = count;
    EXPECT_EQ(ho_root_check(page.end().data()), result) << sessions << " " << count;
  }
}

TEST(RootCheck, TablesAgreeWithTheirRecords) {
  struct Case {
    ho_table_reference joined;
    int result;
  };
  for (const auto& [joined, result] : std::vector<Case>{
           {{.directory = 0, .records = 0, .pages = 0, .reserved = 0}, 0},
           {{.directory = 0x1000, .records = 1, .pages = 1, .reserved = 0}, 0},
           {{.directory = 0x1000, .records = HO_RUNS_PER_PAGE, .pages = 1, .reserved = 0}, 0},
           {{.directory = 0x1000, .records = HO_RUNS_PER_PAGE + 1, .pages = 1, .reserved = 0},
            -EBADMSG},
           {{.directory = 0x1000, .records = 1, .pages = 2, .reserved = 0}, -EBADMSG},
           {{.directory = 0x1000, .records = 0, .pages = 0, .reserved = 0}, -EBADMSG},
           {{.directory = 0, .records = 1, .pages = 1, .reserved = 0}, -EBADMSG},
           {{.directory = 0x1001, .records = 1, .pages = 1, .reserved = 0}, -EBADMSG},
           {{.directory = 0x1000, .records = 1, .pages = 1, .reserved = 1}, -EBADMSG},
       }) {
    Page page = sample(HO_TABLE_ROOT);
    page.root().joined = joined;
    EXPECT_EQ(ho_root_check(page.end().data()), result)
        << joined.directory << " " << joined.records;
  }
}

TEST(RootCheck, WantsOneRecordAndNoNextPage) {
  EXPECT_EQ(ho_root_check(changed(HO_TABLE_ROOT, [](Page& page) { page.head().count = 0; }).data()),
            -EBADMSG);
  EXPECT_EQ(
      ho_root_check(changed(HO_TABLE_ROOT, [](Page& page) { page.head().next = 0x1000; }).data()),
      -EBADMSG);
}

// Sessions and entries: each record by itself, wherever on the page -----------------------------

template <typename Record>
struct RecordCase {
  const char* what;
  std::function<void(Record&)> change;
};

/// Every change must have `result`, at the first, in the middle and at the last record.
template <typename Record>
void expect_records(ho_table_type type, int result, const std::vector<RecordCase<Record>>& cases) {
  const Page good = sample(type);
  const std::size_t last = Page(good).head().count - 1U;
  for (const auto& [what, change] : cases) {
    for (const std::size_t at : {std::size_t{0}, last / 2, last}) {
      Page page = good;
      change(page.record<Record>(at));
      EXPECT_EQ(check(page.end(), type), result) << what << ", record " << at;
    }
  }
}

using Session = ho_session_record;

TEST(SessionsCheck, RefusesEachWrongField) {
  expect_records<Session>(
      HO_TABLE_SESSIONS, -EBADMSG,
      {
          {"no name", [](Session& session) { session.name[0] = 0; }},
          {"an endless name", [](Session& session) { std::memset(session.name, 'a', 64); }},
          {"entries without an address", [](Session& session) { session.entries = 0; }},
          {"an address without entries", [](Session& session) { session.nr_entries = 0; }},
          {"an address within a page", [](Session& session) { session.entries = 0x200010; }},
          {"an address above all memory", [](Session& session) { session.entries = above; }},
      });
}

TEST(SessionsCheck, LetsTheRestPass) {
  expect_records<Session>(
      HO_TABLE_SESSIONS, 0,
      {
          {"the longest name", [](Session& session) { std::memset(session.name, 'a', 63); }},
          {"the shortest name", [](Session& session) { session.name[1] = 0; }},
          {"bytes after the name", [](Session& session) { session.name[63] = 'x'; }},
          {"no entries", [](Session& session) { session.nr_entries = session.entries = 0; }},
          {"any limits", [](Session& session) { session.max_bytes = session.max_entries = ~0U; }},
          {"no limits", [](Session& session) { session.max_bytes = session.max_entries = 0; }},
          {"many entries", [](Session& session) { session.nr_entries = ~0U; }},
      });
}

using Entry = ho_entry_record;

void clear(ho_table_reference& table) { table = ho_table_reference{}; }

void without_memory(Entry& entry) {
  clear(entry.extents);
  clear(entry.runs);
  entry.nr_pages = entry.nr_pieces = 0;
}

TEST(EntriesCheck, RefusesEachWrongField) {
  expect_records<Entry>(
      HO_TABLE_ENTRIES, -EBADMSG,
      {
          {"kind 0", [](Entry& entry) { entry.kind = 0; }},
          {"a kind unknown", [](Entry& entry) { entry.kind = HANDOVER_KIND_KERNEL + 1; }},
          {"a kind with a high bit", [](Entry& entry) { entry.kind |= 1U << 31; }},
          {"a flag unknown", [](Entry& entry) { entry.flags = 4; }},
          {"a high flag unknown", [](Entry& entry) { entry.flags = 1U << 31; }},
          {"more than a loff_t of size", [](Entry& entry) { entry.size = 1ULL << 63; }},
          {"all of a size", [](Entry& entry) { entry.size = ~0ULL; }},
          {"a position before the file", [](Entry& entry) { entry.position = ~0ULL; }},
          {"retrieved, with memory", [](Entry& entry) { entry.flags = HO_ENTRY_RETRIEVED; }},

          {"extents without a directory", [](Entry& entry) { entry.extents.directory = 0; }},
          {"extents without records", [](Entry& entry) { entry.extents.records = 0; }},
          {"extents without pages", [](Entry& entry) { entry.extents.pages = 0; }},
          {"a directory without extents",
           [](Entry& entry) { entry.extents.records = entry.extents.pages = 0; }},
          {"extents from within a page", [](Entry& entry) { ++entry.extents.directory; }},
          {"extents above all memory", [](Entry& entry) { entry.extents.directory = above; }},
          {"extents' reserved in use", [](Entry& entry) { entry.extents.reserved = 1; }},
          {"more pages than extents", [](Entry& entry) { entry.extents.pages = 5; }},
          {"more extents than on a page", [](Entry& entry) { entry.extents.records = 255; }},
          {"more extents than on the pages",
           [](Entry& entry) {
             entry.size = ~0ULL >> 1;
             entry.extents.pages = ~0U;
             entry.extents.records = ~0U * HO_EXTENTS_PER_PAGE + 1;
           }},
          {"more extents than the file has pages",
           [](Entry& entry) { entry.size = u64{3} * 4096; }},
          {"extents of an empty file", [](Entry& entry) { entry.size = 0; }},
          {"extents without runs",
           [](Entry& entry) {
             clear(entry.runs);
             entry.nr_pages = entry.nr_pieces = 0;
           }},

          {"runs without a directory", [](Entry& entry) { entry.runs.directory = 0; }},
          {"runs without records", [](Entry& entry) { entry.runs.records = 0; }},
          {"runs without pages", [](Entry& entry) { entry.runs.pages = 0; }},
          {"runs from within a page", [](Entry& entry) { entry.runs.directory += 0x800; }},
          {"runs above all memory", [](Entry& entry) { entry.runs.directory = ~0ULL << 12; }},
          {"runs' reserved in use", [](Entry& entry) { entry.runs.reserved = 1U << 31; }},
          {"more pages than runs", [](Entry& entry) { entry.runs.pages = 4; }},
          {"more runs than on the pages",
           [](Entry& entry) {
             entry.runs.records = 2 * HO_RUNS_PER_PAGE + 1;
             entry.nr_pages = entry.nr_pieces = 100'000;
           }},
          {"all of the runs", [](Entry& entry) { entry.runs.records = ~0ULL; }},

          {"no pages of memory", [](Entry& entry) { entry.nr_pages = 0; }},
          {"fewer pages than pieces", [](Entry& entry) { entry.nr_pages = 4; }},
          {"more pages than there are frames",
           [](Entry& entry) {
             entry.nr_pages = HO_MAX_PFN + 1;
             entry.nr_pieces = (HO_MAX_PFN >> HO_MAX_ORDER) + 1;
             entry.runs.records = HO_RUNS_PER_PAGE;
           }},
          {"all of the pages", [](Entry& entry) { entry.nr_pages = ~0ULL; }},
          {"more pages than in the pieces",
           [](Entry& entry) { entry.nr_pages = (5ULL << HO_MAX_ORDER) + 1; }},
          {"no pieces", [](Entry& entry) { entry.nr_pieces = 0; }},
          {"fewer pieces than runs", [](Entry& entry) { entry.nr_pieces = 2; }},
          {"more pieces than in the runs",
           [](Entry& entry) {
             entry.nr_pieces = 3 * HO_RUN_MAX_COUNT + 1;
             entry.nr_pages = HO_MAX_PFN;
           }},
          {"all of the pieces", [](Entry& entry) { entry.nr_pages = entry.nr_pieces = ~0ULL; }},
          {"pages without memory",
           [](Entry& entry) {
             without_memory(entry);
             entry.nr_pages = 1;
           }},
          {"pages and pieces without memory",
           [](Entry& entry) {
             without_memory(entry);
             entry.nr_pages = entry.nr_pieces = 1;
           }},

          {"a blob of a file",
           [](Entry& entry) {
             entry.blob = 0x5000;
             entry.blob_size = 1;
           }},
          {"an empty blob",
           [](Entry& entry) {
             entry.kind = HANDOVER_KIND_KERNEL;
             entry.blob = 0x5000;
           }},
          {"a blob nowhere",
           [](Entry& entry) {
             entry.kind = HANDOVER_KIND_KERNEL;
             entry.blob_size = 1;
           }},
          {"a blob within a page",
           [](Entry& entry) {
             entry.kind = HANDOVER_KIND_KERNEL;
             entry.blob = 0x5004;
             entry.blob_size = 1;
           }},
          {"a blob above all memory",
           [](Entry& entry) {
             entry.kind = HANDOVER_KIND_KERNEL;
             entry.blob = above;
             entry.blob_size = 1;
           }},
          {"a blob too large",
           [](Entry& entry) {
             entry.kind = HANDOVER_KIND_KERNEL;
             entry.blob = 0x5000;
             entry.blob_size = HO_KERNEL_MAX_SIZE + 1;
           }},
      });
}

TEST(EntriesCheck, LetsTheRestPass) {
  expect_records<Entry>(
      HO_TABLE_ENTRIES, 0,
      {
          {"any token", [](Entry& entry) { entry.token = ~0ULL; }},
          {"any kind of file", [](Entry& entry) { entry.kind = HANDOVER_KIND_RETRIEVED; }},
          {"sealed", [](Entry& entry) { entry.flags = HO_ENTRY_READ_ONLY; }},
          {"nothing but holes", [](Entry& entry) { without_memory(entry); }},
          {"an empty file",
           [](Entry& entry) {
             without_memory(entry);
             entry.size = 0;
           }},
          {"retrieved",
           [](Entry& entry) {
             without_memory(entry);
             entry.flags = HO_ENTRY_RETRIEVED | HO_ENTRY_READ_ONLY;
           }},
          {"the largest file", [](Entry& entry) { entry.size = ~0ULL >> 1; }},
          {"positioned after its end", [](Entry& entry) { entry.position = ~0ULL >> 1; }},
          {"memory after its end only",
           [](Entry& entry) {
             entry.size = 0;
             clear(entry.extents);
           }},
          {"a folio that reaches over its end",
           [](Entry& entry) {
             entry.size = 1;
             entry.extents.records = entry.runs.records = entry.runs.pages = 1;
             entry.nr_pages = 512;
             entry.nr_pieces = 1;
           }},
          {"a range that shows one page twice",
           [](Entry& entry) {
             entry.kind = HANDOVER_KIND_RANGE;
             entry.size = u64{2} * 4096;
             entry.extents.records = 2;
             entry.runs.records = entry.runs.pages = 1;
             entry.nr_pages = entry.nr_pieces = 1;
           }},
          {"an extent for each page of the file",
           [](Entry& entry) { entry.size = u64{3} * 4096 + 1; }},
          {"full pages of extents",
           [](Entry& entry) {
             entry.size = ~0ULL >> 1;
             entry.extents.pages = ~0U;
             entry.extents.records = ~0U * HO_EXTENTS_PER_PAGE;
           }},
          {"full pages of runs",
           [](Entry& entry) {
             entry.runs.records = 2 * HO_RUNS_PER_PAGE;
             entry.nr_pages = entry.nr_pieces = u64{2} * HO_RUNS_PER_PAGE;
           }},
          {"the largest pieces", [](Entry& entry) { entry.nr_pages = 5ULL << HO_MAX_ORDER; }},
          {"the longest runs",
           [](Entry& entry) { entry.nr_pages = entry.nr_pieces = 3 * HO_RUN_MAX_COUNT; }},
          {"all frames there can be",
           [](Entry& entry) {
             entry.nr_pages = HO_MAX_PFN;
             entry.nr_pieces = HO_MAX_PFN >> HO_MAX_ORDER;
             entry.runs.records = HO_MAX_PFN >> 36;
           }},
          {"of a module, with a blob",
           [](Entry& entry) {
             entry.kind = HANDOVER_KIND_KERNEL;
             entry.blob = above - 0x1000;
             entry.blob_size = HO_KERNEL_MAX_SIZE;
           }},
          {"of a module, a blob alone",
           [](Entry& entry) {
             without_memory(entry);
             entry.kind = HANDOVER_KIND_KERNEL;
             entry.blob = 0x1000;
             entry.blob_size = 1;
           }},
          {"of a module, without a blob", [](Entry& entry) { entry.kind = HANDOVER_KIND_KERNEL; }},
      });
}

// Directory -------------------------------------------------------------------------------------

using Listed = std::vector<ho_directory_record>;

int check_directory(const Listed& records) {
  Page page(HO_TABLE_DIRECTORY);
  for (const auto& record : records) page.add(record);
  return ho_directory_check(page.end().data());
}

TEST(DirectoryCheck, WantsAddressesInOrderOfWhatTheyStartWith) {
  EXPECT_EQ(check_directory({{0x1000, 0}}), 0);
  EXPECT_EQ(check_directory({{above - 0x1000, ~0ULL}}), 0);
  EXPECT_EQ(check_directory({{0x5000, 0}, {0x3000, 1}, {0x9000, ~0ULL}}), 0);
  EXPECT_EQ(check_directory({{0, 0}}), -EBADMSG);
  EXPECT_EQ(check_directory({{0x1001, 0}}), -EBADMSG);
  EXPECT_EQ(check_directory({{0x1800, 0}}), -EBADMSG);
  EXPECT_EQ(check_directory({{above, 0}}), -EBADMSG);
  EXPECT_EQ(check_directory({{~0ULL, 0}}), -EBADMSG);
  EXPECT_EQ(check_directory({{0x1000, 5}, {0x2000, 5}}), -EBADMSG);
  EXPECT_EQ(check_directory({{0x1000, 5}, {0x2000, 4}}), -EBADMSG);
  EXPECT_EQ(check_directory({{0x1000, ~0ULL}, {0x2000, 0}}), -EBADMSG);
}

TEST(DirectoryCheck, LooksAtEachRecord) {
  for (const std::size_t at :
       {std::size_t{1}, HO_DIRECTORY_PER_PAGE / 2, HO_DIRECTORY_PER_PAGE - 1}) {
    EXPECT_EQ(check(changed(HO_TABLE_DIRECTORY,
                            [&](Page& page) { page.record<ho_directory_record>(at).page = 0; }),
                    HO_TABLE_DIRECTORY),
              -EBADMSG);
    EXPECT_EQ(check(changed(HO_TABLE_DIRECTORY,
                            [&](Page& page) {
                              page.record<ho_directory_record>(at).first = 100 * (at - 1);
                            }),
                    HO_TABLE_DIRECTORY),
              -EBADMSG);
  }
}

// Extents ---------------------------------------------------------------------------------------

int check_extents(const std::vector<ho_extent>& extents, u64 first, u64 limit) {
  Page page(HO_TABLE_EXTENTS);
  for (const auto& extent : extents) page.add(ho_extent_pack(extent));
  return ho_extents_check(page.end().data(), first, limit);
}

TEST(ExtentsCheck, BeginWhereTheDirectorySays) {
  EXPECT_EQ(check_extents({{5, 100, 2}}, 5, 100), 0);
  EXPECT_EQ(check_extents({{5, 100, 2}}, 4, 100), -EBADMSG);
  EXPECT_EQ(check_extents({{5, 100, 2}}, 6, 100), -EBADMSG);
  EXPECT_EQ(check_extents({{5, 100, 2}}, ~0ULL, 100), -EBADMSG);
}

TEST(ExtentsCheck, AscendWithoutOverlap) {
  EXPECT_EQ(check_extents({{5, 100, 2}, {7, 200, 3}, {10, 90, 1}}, 5, 100), 0);
  EXPECT_EQ(check_extents({{5, 100, 2}, {50, 100, 2}}, 5, 100), 0) << "a frame shown twice";
  EXPECT_EQ(check_extents({{5, 100, 2}, {6, 200, 3}}, 5, 100), -EBADMSG);
  EXPECT_EQ(check_extents({{5, 100, 2}, {5, 200, 3}}, 5, 100), -EBADMSG);
  EXPECT_EQ(check_extents({{5, 100, 2}, {4, 200, 1}}, 5, 100), -EBADMSG);
  EXPECT_EQ(check_extents({{5, 100, 2}, {0, 200, 1}}, 5, 100), -EBADMSG);
  EXPECT_EQ(check_extents({{5, 100, 2}, {~0ULL, 200, 5}, {7, 1, 1}}, 5, ~0ULL), -EBADMSG);
}

TEST(ExtentsCheck, StayWithinTheFile) {
  EXPECT_EQ(check_extents({{5, 100, 2}}, 5, 7), 0);
  EXPECT_EQ(check_extents({{5, 100, 2}}, 5, 6), -EBADMSG);
  EXPECT_EQ(check_extents({{5, 100, 2}}, 5, 5), -EBADMSG);
  EXPECT_EQ(check_extents({{5, 100, 2}}, 5, 0), -EBADMSG);
  EXPECT_EQ(check_extents({{0, 100, 1}}, 0, 0), -EBADMSG);
  EXPECT_EQ(check_extents({{0, 100, HO_EXTENT_MAX_PAGES}}, 0, HO_EXTENT_MAX_PAGES), 0);
  EXPECT_EQ(check_extents({{0, 100, HO_EXTENT_MAX_PAGES}}, 0, HO_EXTENT_MAX_PAGES - 1), -EBADMSG);
  EXPECT_EQ(check_extents({{~0ULL - 1, 100, 1}}, ~0ULL - 1, ~0ULL), 0);
  EXPECT_EQ(check_extents({{~0ULL - 1, 100, 2}}, ~0ULL - 1, ~0ULL), -EBADMSG);
  EXPECT_EQ(check_extents({{~0ULL - 1, 100, 4}}, ~0ULL - 1, ~0ULL), -EBADMSG) << "wraps around";
  EXPECT_EQ(check_extents({{~0ULL, 100, 1}}, ~0ULL, ~0ULL), -EBADMSG);
}

TEST(ExtentsCheck, StayWithinMemory) {
  EXPECT_EQ(check_extents({{0, HO_MAX_PFN - 2, 2}}, 0, 100), 0);
  EXPECT_EQ(check_extents({{0, HO_MAX_PFN - 1, 2}}, 0, 100), -EBADMSG);
  EXPECT_EQ(check_extents({{0, HO_MAX_PFN - 1, HO_EXTENT_MAX_PAGES}}, 0, HO_EXTENT_MAX_PAGES),
            -EBADMSG);
}

TEST(ExtentsCheck, LooksAtEachRecord) {
  for (const std::size_t at : {std::size_t{1}, HO_EXTENTS_PER_PAGE / 2, HO_EXTENTS_PER_PAGE - 1}) {
    const auto with = [&](const ho_extent& extent) {
      return check(
          changed(HO_TABLE_EXTENTS,
                  [&](Page& page) { page.record<ho_extent_record>(at) = ho_extent_pack(extent); }),
          HO_TABLE_EXTENTS);
    };
    const u64 index = some_index + 20 * at;
    EXPECT_EQ(with({index, 1, 20}), 0);
    EXPECT_EQ(with({index, HO_MAX_PFN - 1, 2}), -EBADMSG);
    EXPECT_EQ(with({index - 20, 1, 1}), -EBADMSG);
    EXPECT_EQ(with({some_limit, 1, 1}), -EBADMSG);
  }
}

// Runs ------------------------------------------------------------------------------------------

int check_runs(const std::vector<ho_run>& runs, u64 first) {
  Page page(HO_TABLE_RUNS);
  for (const auto& run : runs) page.add(ho_run_pack(run));
  return ho_runs_check(page.end().data(), first);
}

TEST(RunsCheck, BeginWhereTheDirectorySays) {
  EXPECT_EQ(check_runs({{5, 2, 0}}, 5), 0);
  EXPECT_EQ(check_runs({{5, 2, 0}}, 4), -EBADMSG);
  EXPECT_EQ(check_runs({{5, 2, 0}}, 6), -EBADMSG);
  EXPECT_EQ(check_runs({{5, 2, 0}}, ~0ULL), -EBADMSG);
}

TEST(RunsCheck, AscendWithoutOverlap) {
  EXPECT_EQ(check_runs({{6, 2, 0}, {8, 1, 3}, {16, 4, 2}, {32, 1, 0}}, 6), 0);
  EXPECT_EQ(check_runs({{6, 2, 0}, {7, 1, 0}}, 6), -EBADMSG);
  EXPECT_EQ(check_runs({{6, 2, 0}, {6, 1, 0}}, 6), -EBADMSG);
  EXPECT_EQ(check_runs({{6, 2, 0}, {0, 1, 0}}, 6), -EBADMSG);
  EXPECT_EQ(check_runs({{16, 4, 2}, {31, 1, 0}}, 16), -EBADMSG);
  EXPECT_EQ(check_runs({{0, HO_RUN_MAX_COUNT, HO_MAX_ORDER}, {1ULL << 36, 1, 0}}, 0), 0);
  EXPECT_EQ(check_runs({{0, HO_RUN_MAX_COUNT, HO_MAX_ORDER}, {(1ULL << 36) - 1, 1, 0}}, 0),
            -EBADMSG);
}

TEST(RunsCheck, HoldAlignedFoliosOfKnownOrders) {
  for (u32 order = 0; order < 64; ++order) {
    const int known = order <= HO_MAX_ORDER ? 0 : -EBADMSG;
    EXPECT_EQ(check_runs({{0, 1, order}}, 0), known) << order;
    if (order == 0 || known != 0) continue;
    const u64 pages = 1ULL << order;
    EXPECT_EQ(check_runs({{pages, 1, order}}, pages), 0) << order;
    EXPECT_EQ(check_runs({{pages / 2, 1, order}}, pages / 2), -EBADMSG) << order;
    EXPECT_EQ(check_runs({{pages + 1, 1, order}}, pages + 1), -EBADMSG) << order;
    EXPECT_EQ(check_runs({{2 * pages - 1, 1, order}}, 2 * pages - 1), -EBADMSG) << order;
  }
}

TEST(RunsCheck, StayWithinMemory) {
  for (u32 order = 0; order <= HO_MAX_ORDER; ++order) {
    const u64 pfn = HO_MAX_PFN - (3ULL << order);
    EXPECT_EQ(check_runs({{pfn, 3, order}}, pfn), 0) << order;
    EXPECT_EQ(check_runs({{pfn, 4, order}}, pfn), -EBADMSG) << order;
    EXPECT_EQ(check_runs({{pfn, HO_RUN_MAX_COUNT, order}}, pfn), -EBADMSG) << order;
  }
}

TEST(RunsCheck, LooksAtEachRecord) {
  for (const std::size_t at : {std::size_t{1}, HO_RUNS_PER_PAGE / 2, HO_RUNS_PER_PAGE - 1}) {
    const auto with = [&](const ho_run& run) {
      return check(changed(HO_TABLE_RUNS,
                           [&](Page& page) { page.record<ho_run_record>(at) = ho_run_pack(run); }),
                   HO_TABLE_RUNS);
    };
    const u64 pfn = some_pfn + 1024 * at;
    EXPECT_EQ(with({pfn, 1024, 0}), 0);
    EXPECT_EQ(with({pfn, 1, 19}), -EBADMSG);
    EXPECT_EQ(with({pfn + 1, 1, 1}), -EBADMSG);
    EXPECT_EQ(with({pfn - 1024, 1, 0}), -EBADMSG);
    EXPECT_EQ(with({HO_MAX_PFN - 1, 2, 0}), -EBADMSG);
  }
}

}  // namespace
}  // namespace handover

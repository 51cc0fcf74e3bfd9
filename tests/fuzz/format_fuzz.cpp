// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever the earlier kernel left: what passes a check of kmod/format.c must keep what format.h
// promises of it, and what is looked up there must be what a walk from the front finds.
//
// An input is a byte that chooses a type of table (bits 0 to 3), the page's alignment (4 to 6) and
// whether its head is left alone (7), then the page. It is tried three times: as it is, with a
// right CRC and head, and as a list of small numbers from which records are made that nearly fit.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "c_format.h"
#include "require.h"

namespace {

__extension__ using Wide = unsigned __int128;  // no sum overflows here

/// Bytes of an input, one after the other; 0 after the last.
class Numbers {
 public:
  explicit Numbers(std::string_view text) : text_(text) {}

  bool more() const { return !text_.empty(); }

  u64 next() {
    if (text_.empty()) return 0;
    const auto number = static_cast<u8>(text_.front());
    text_.remove_prefix(1);
    return number;
  }

  /// Of any size, and small ones often: 6 bits, shifted by up to 60 if the 2 others are set.
  u64 wide() {
    const u64 number = next();
    return number < 0xc0 ? number : (number & 0x3f) << (next() & 0x3f);
  }

 private:
  std::string_view text_;
};

/// A page that ends where its allocation does, and need not be aligned.
class Page {
 public:
  Page(std::size_t offset, std::string_view text) : bytes_(offset + HO_TABLE_SIZE) {
    text.copy(data(), HO_TABLE_SIZE);
  }

  char* data() { return bytes_.data() + bytes_.size() - HO_TABLE_SIZE; }
  const char* data() const { return bytes_.data() + bytes_.size() - HO_TABLE_SIZE; }

  template <typename Value>
  Value at(std::size_t offset) const {
    require(offset + sizeof(Value) <= HO_TABLE_SIZE, "everything lies on the page");
    Value value{};
    std::memcpy(&value, data() + offset, sizeof(value));
    return value;
  }

  template <typename Record>
  Record record(std::size_t i) const {
    return at<Record>(sizeof(ho_table_head) + i * sizeof(Record));
  }

  template <typename Value>
  void set(std::size_t offset, const Value& value) {
    std::memcpy(data() + offset, &value, sizeof(value));
  }

  template <typename Record>
  void add(const Record& record) {
    auto head = at<ho_table_head>(0);
    set(sizeof(head) + head.count * sizeof(Record), record);
    ++head.count;
    set(0, head);
  }

 private:
  std::vector<char> bytes_;
};

// What format.h says --------------------------------------------------------------------------

bool is_address(u64 address) { return address % HO_TABLE_SIZE == 0 && address < 1ULL << 52; }

std::size_t record_size(int type) {
  switch (type) {
    case HO_TABLE_ROOT:
      return sizeof(ho_root) - sizeof(ho_table_head);
    case HO_TABLE_SESSIONS:
      return sizeof(ho_session_record);
    case HO_TABLE_ENTRIES:
      return sizeof(ho_entry_record);
    case HO_TABLE_DIRECTORY:
      return sizeof(ho_directory_record);
    case HO_TABLE_EXTENTS:
      return sizeof(ho_extent_record);
    case HO_TABLE_RUNS:
      return sizeof(ho_run_record);
    default:
      return 1;
  }
}

/// The number of records.
std::size_t look_at_head(const Page& page, int type) {
  const auto head = page.at<ho_table_head>(0);
  require(head.magic == HO_TABLE_MAGIC, "the magic is right");
  require(head.version == HO_FORMAT_VERSION, "the version is right");
  require(head.type == type, "the type is right");
  require(head.reserved == 0, "what is reserved is 0");
  require(is_address(head.next), "the next page has an address");
  require(head.next == 0 || head.count > 0, "a chain is no longer than its records");
  require(sizeof(head) + head.count * record_size(type) <= HO_TABLE_SIZE, "the records fit");
  Page copy = page;
  copy.set(offsetof(ho_table_head, crc), u32{0});
  if (type == HO_TABLE_ROOT) copy.set(offsetof(ho_root, consumed), u32{0});
  require(crc32c(~0U, copy.data(), HO_TABLE_SIZE) == head.crc, "the CRC is right");
  return head.count;
}

void look_at_reference(const ho_table_reference& table, std::size_t per_page) {
  require(table.reserved == 0, "what is reserved is 0");
  require(is_address(table.directory), "a directory has an address");
  require((table.directory == 0) == (table.records == 0), "if it lists anything");
  require((table.directory == 0) == (table.pages == 0), "if it lists any page");
  require(table.records >= table.pages, "no listed page is empty");
  require(table.records <= Wide{table.pages} * per_page, "the records fit on the pages");
}

void look_at_root(const Page& page) {
  const auto root = page.at<ho_root>(0);
  require(look_at_head(page, HO_TABLE_ROOT) == 1, "there is one root");
  require(root.head.next == 0, "and no other");
  require(is_address(root.sessions), "the sessions have an address");
  require((root.sessions == 0) == (root.nr_sessions == 0), "if there are any");
  look_at_reference(root.joined, 509);
}

void look_at_sessions(const Page& page) {
  const std::size_t count = look_at_head(page, HO_TABLE_SESSIONS);
  for (std::size_t i = 0; i < count; ++i) {
    const auto session = page.record<ho_session_record>(i);
    const std::size_t length = ::strnlen(session.name, sizeof(session.name));
    require(length > 0 && length < sizeof(session.name), "a name can be printed");
    require(is_address(session.entries), "the entries have an address");
    require((session.entries == 0) == (session.nr_entries == 0), "if there are any");
  }
}

void look_at_entries(const Page& page) {
  const std::size_t count = look_at_head(page, HO_TABLE_ENTRIES);
  for (std::size_t i = 0; i < count; ++i) {
    const auto entry = page.record<ho_entry_record>(i);
    require(entry.kind >= 1 && entry.kind <= 6, "the kind is known");
    require(entry.flags < 8, "the flags are known");
    require(static_cast<std::int64_t>(entry.size) >= 0, "the size is a loff_t");
    require(static_cast<std::int64_t>(entry.position) >= 0, "the position is a loff_t");
    look_at_reference(entry.extents, 254);
    look_at_reference(entry.runs, 509);
    require(entry.extents.records <= (Wide{entry.size} + 4095) / 4096, "extents are in the file");
    require(entry.extents.records == 0 || entry.runs.records > 0, "what they show is preserved");
    require(entry.runs.records <= entry.nr_pieces, "each run has a piece");
    require(entry.nr_pieces <= entry.nr_pages, "each piece has a page");
    require(entry.nr_pages <= 1ULL << 40, "there are so many frames");
    require(entry.nr_pieces <= Wide{entry.runs.records} << 18, "the pieces fit in the runs");
    require(entry.nr_pages <= Wide{entry.nr_pieces} << 18, "the pages fit in the pieces");
    require((entry.flags & ~u32{HO_ENTRY_READ_ONLY}) == 0 || entry.nr_pages == 0,
            "what was given out or damaged is gone");
    require(is_address(entry.blob), "a blob has an address");
    require((entry.blob == 0) == (entry.blob_size == 0), "if there is one");
    require(entry.blob == 0 || entry.kind == HANDOVER_KIND_KERNEL, "only modules have one");
    require(entry.blob_size <= 16 << 20, "it can be put together");
  }
}

/// Numbers worth looking up: around each of `borders`, and the ends.
template <typename Look>
void look_up_around(std::vector<u64>& borders, const Look& look) {
  borders.insert(borders.end(), {u64{0}, HO_MAX_PFN, ~u64{0}});
  // Some are enough, the first and last ones among them: each is compared with a walk.
  const std::size_t step = 1 + borders.size() / 40;
  for (std::size_t i = 0; i < borders.size(); i += i + 5 < borders.size() ? step : 1) {
    for (const u64 near : {borders[i] - 1, borders[i], borders[i] + 1}) look(near);
  }
}

void look_at_directory(const Page& page) {
  const std::size_t count = look_at_head(page, HO_TABLE_DIRECTORY);
  const auto* const records =
      reinterpret_cast<const ho_directory_record*>(ho_table_records(page.data()));
  std::vector<u64> borders;
  for (std::size_t i = 0; i < count; ++i) {
    const auto record = page.record<ho_directory_record>(i);
    require(record.page != 0 && is_address(record.page), "what is listed has an address");
    require(borders.empty() || record.first > borders.back(), "in ascending order");
    borders.push_back(record.first);
  }
  look_up_around(borders, [&](u64 key) {
    long expected = -1;
    for (std::size_t i = 0; i < count; ++i) {
      if (page.record<ho_directory_record>(i).first <= key) expected = static_cast<long>(i);
    }
    require(ho_directory_find(records, count, key) == expected, "the page for a key is found");
  });
}

void look_at_extents(const Page& page, u64 first, u64 limit) {
  const std::size_t count = look_at_head(page, HO_TABLE_EXTENTS);
  require(count > 0, "there is an extent");
  require(page.record<ho_extent_record>(0).index == first, "the first is the directory's");
  std::vector<u64> borders;
  Wide end = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto record = page.record<ho_extent_record>(i);
    const u64 pfn = record.where >> 24;
    const u64 nr = (record.where & 0xffffff) + 1;
    require(record.index >= end, "extents ascend and do not overlap");
    end = Wide{record.index} + nr;
    require(end <= limit, "extents end within the file");
    require(Wide{pfn} + nr <= HO_MAX_PFN, "extents lie in memory");
    const ho_extent extent = ho_extent_unpack(record);
    require(extent.index == record.index && extent.pfn == pfn && extent.nr == nr, "unpacked");
    const ho_extent_record again = ho_extent_pack(extent);
    require(std::memcmp(&again, &record, sizeof(again)) == 0, "and packed again");
    borders.insert(borders.end(), {record.index, record.index + nr});
  }
  look_up_around(borders, [&](u64 index) {
    ho_extent expected{};
    for (std::size_t i = 0; i < count; ++i) {
      const ho_extent extent = ho_extent_unpack(page.record<ho_extent_record>(i));
      if (index >= extent.index && index < Wide{extent.index} + extent.nr) expected = extent;
    }
    ho_extent found{};
    require(ho_extents_find(page.data(), index, &found) == (expected.nr > 0), "what is there");
    require(expected.nr == 0 || (found.index == expected.index && found.pfn == expected.pfn &&
                                 found.nr == expected.nr),
            "is found");
  });
}

void look_at_piece(const ho_run& run, const struct ho_piece& piece, u64 pfn) {
  require(piece.order == run.order, "a piece has the order of its run");
  require(piece.nr > 0 && piece.pfn <= pfn && pfn - piece.pfn < piece.nr, "and the frame");
  require(piece.pfn >= run.pfn, "and does not begin before it");
  require(Wide{piece.pfn} + piece.nr <= Wide{run.pfn} + (Wide{run.nr} << run.order),
          "nor end after it");
  if (run.order > 0) {
    require(piece.nr == 1ULL << run.order && piece.pfn % piece.nr == 0, "it is a whole folio");
  } else {
    require(piece.pfn / 512 == (piece.pfn + piece.nr - 1) / 512, "it crosses no alignment");
  }
}

void look_at_pieces(const ho_run& run) {
  const u64 last = run.pfn + ho_run_pages(run) - 1;
  for (const u64 pfn : {run.pfn, run.pfn + (last - run.pfn) / 2, last}) {
    look_at_piece(run, ho_piece(run, pfn), pfn);
  }
  const u64 pieces = ho_run_pieces(run);
  require(pieces > 0 && pieces <= ho_run_pages(run), "a run has pieces of a page or more");
  if (pieces > 20) return;
  u64 walked = 0;
  for (u64 pfn = run.pfn; pfn <= last; ++walked) {
    const auto piece = ho_piece(run, pfn);
    look_at_piece(run, piece, pfn);
    require(piece.pfn == pfn, "a piece begins where the one before ends");
    pfn += piece.nr;
  }
  require(walked == pieces, "and all are counted");
}

void look_at_runs(const Page& page, u64 first) {
  const std::size_t count = look_at_head(page, HO_TABLE_RUNS);
  require(count > 0, "there is a run");
  require(page.record<ho_run_record>(0) >> 24 == first, "the first is the directory's");
  std::vector<u64> borders;
  Wide end = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto record = page.record<ho_run_record>(i);
    const u64 pfn = record >> 24;
    const u64 order = record >> 18 & 0x3f;
    const u64 nr = (record & 0x3ffff) + 1;
    require(order <= 18, "no folio is larger than there are");
    require(pfn % (1ULL << order) == 0, "folios are aligned");
    require(pfn >= end, "runs ascend and do not overlap");
    end = pfn + (Wide{nr} << order);
    require(end <= HO_MAX_PFN, "runs lie in memory");
    const ho_run run = ho_run_unpack(record);
    require(run.pfn == pfn && run.nr == nr && run.order == order, "unpacked");
    require(ho_run_pages(run) == Wide{nr} << order, "with all pages");
    require(ho_run_pack(run) == record, "and packed again");
    look_at_pieces(run);
    borders.insert(borders.end(), {pfn, pfn + ho_run_pages(run)});
  }
  look_up_around(borders, [&](u64 pfn) {
    ho_run expected{};
    for (std::size_t i = 0; i < count; ++i) {
      const ho_run run = ho_run_unpack(page.record<ho_run_record>(i));
      if (pfn >= run.pfn && pfn < run.pfn + ho_run_pages(run)) expected = run;
    }
    ho_run found{};
    require(ho_runs_find(page.data(), pfn, &found) == (expected.nr > 0), "what is there");
    require(expected.nr == 0 || (found.pfn == expected.pfn && found.nr == expected.nr &&
                                 found.order == expected.order),
            "is found");
  });
}

/// What other modules left, in as many bytes as it has.
void look_at_description(const std::vector<char>& bytes) {
  ho_kernel_head head{};
  std::memcpy(&head, bytes.data(), sizeof(head));
  require(bytes.size() <= 16 << 20 && head.size == bytes.size(), "the size is right");
  require(head.magic == HO_KERNEL_MAGIC && head.version == HO_KERNEL_VERSION, "the head is right");
  require(head.reserved == 0, "what is reserved is 0");
  Wide data = sizeof(head) + Wide{head.count} * sizeof(ho_item_record);
  require(data <= bytes.size(), "the items are there");
  u64 last = 0;
  for (u32 i = 0; i < head.count; ++i) {
    ho_item_record item{};
    std::memcpy(&item, bytes.data() + sizeof(head) + i * sizeof(item), sizeof(item));
    require(i == 0 || item.id > last, "ids ascend");
    last = item.id;
    require(item.reserved == 0, "what is reserved is 0");
    if (item.type == HO_ITEM_BLOB) {
      require(item.where == data && data % 8 == 0, "a blob follows the one before");
      data += (Wide{item.size} + 7) / 8 * 8;
      require(data <= bytes.size(), "and is there");
    } else {
      require(item.where != 0 && is_address(item.where), "memory has an address");
      require(item.size > 0, "and a size");
    }
    if (item.type == HO_ITEM_VMALLOC) {
      require(item.size % 4096 == 0 && item.size >> 12 <= ~0U, "so many pages can be counted");
      require(item.order <= 18 && (item.size >> 12) % (1U << item.order) == 0, "in whole folios");
    } else {
      require(item.type == HO_ITEM_BLOB || item.type == HO_ITEM_KMALLOC, "the type is known");
      require(item.crc == 0 && item.order == 0 && item.flags == 0, "only vmalloc has more");
      require(item.type == HO_ITEM_BLOB || item.size <= 1 << 30, "it can be one folio");
    }
  }
  require(data == bytes.size(), "nothing comes after it");
}

// Pages to look at ------------------------------------------------------------------------------

bool passes(int result) {
  require(result == 0 || result == -EBADMSG || result == -EPROTO, "a known result");
  return result == 0;
}

/// Every check, as if each were asked for.
void look_at(const Page& page, Numbers numbers) {
  for (int type = HO_TABLE_ROOT; type < HO_TABLE_TYPES; ++type) {
    if (passes(ho_table_check(page.data(), static_cast<ho_table_type>(type)))) {
      look_at_head(page, type);
    }
  }
  if (passes(ho_root_check(page.data()))) look_at_root(page);
  if (passes(ho_sessions_check(page.data()))) look_at_sessions(page);
  if (passes(ho_entries_check(page.data()))) look_at_entries(page);
  if (passes(ho_directory_check(page.data()))) look_at_directory(page);

  // As the directory could say, and as it says.
  const u64 some = numbers.wide();
  for (const u64 first : {some, u64{page.record<ho_extent_record>(0).index}}) {
    for (const u64 limit : {first + numbers.wide(), u64{1} << 40, ~u64{0}}) {
      if (passes(ho_extents_check(page.data(), first, limit))) {
        look_at_extents(page, first, limit);
      }
    }
  }
  for (const u64 first : {some, page.record<ho_run_record>(0) >> 24}) {
    if (passes(ho_runs_check(page.data(), first))) look_at_runs(page, first);
  }
}

/// A CRC that passes, and the rest of the head as well if that is not to be `kept`.
void repair(Page& page, ho_table_type type, bool kept) {
  auto head = page.at<ho_table_head>(0);
  if (!kept) {
    head.magic = HO_TABLE_MAGIC;
    head.version = HO_FORMAT_VERSION;
    head.type = type;
    head.reserved = 0;
    head.count = type == HO_TABLE_ROOT
                     ? 1
                     : head.count % (1 + (HO_TABLE_SIZE - sizeof(head)) / record_size(type));
    head.next = type == HO_TABLE_ROOT || head.count == 0 ? 0 : head.next >> 12 << 24 >> 12;
  }
  page.set(0, head);
  ho_table_end(page.data());
}

ho_table_reference some_table(Numbers& numbers, u64 per_page) {
  ho_table_reference table{};
  table.records = numbers.wide() * numbers.wide() % (per_page << 32);
  table.directory = table.records == 0 ? 0 : 0x1000;
  table.pages = static_cast<u32>((table.records + per_page - 1) / per_page);
  if (table.pages > 1 && numbers.next() == 24) --table.pages;
  return table;
}

/// One that passes if the numbers are small, but for 4 bytes of some.
ho_entry_record some_entry(Numbers& numbers) {
  ho_entry_record entry{};
  entry.token = numbers.wide();
  entry.kind = static_cast<u32>(1 + numbers.next() % HANDOVER_KIND_KERNEL);
  entry.runs = some_table(numbers, HO_RUNS_PER_PAGE);
  if (entry.runs.records > 0 || numbers.next() % 16 == 9)
    entry.extents = some_table(numbers, HO_EXTENTS_PER_PAGE);
  entry.size = (entry.extents.records << 12) + numbers.wide();
  entry.position = numbers.wide();
  entry.flags = static_cast<u32>(numbers.next() % (entry.runs.records > 0 ? 2 : 8));
  entry.nr_pieces = entry.runs.records * (1 + numbers.wide());
  entry.nr_pages = entry.nr_pieces * (1 + numbers.wide());
  if (entry.kind == HANDOVER_KIND_KERNEL) entry.blob_size = numbers.wide();
  entry.blob = entry.blob_size > 0 ? 0x2000 : 0;
  const u64 mistake = numbers.next() * 4;
  if (mistake < sizeof(entry)) {
    const auto number = static_cast<u32>(numbers.wide());
    std::memcpy(reinterpret_cast<char*>(&entry) + mistake, &number, sizeof(number));
  }
  return entry;
}

/// A description of small items that mostly fit, at most as many as `numbers` has for them.
std::vector<char> some_description(Numbers numbers) {
  std::vector<ho_item_record> items;
  u64 id = numbers.wide();
  while (numbers.more() && items.size() < 200) {
    ho_item_record item{};
    item.id = id;
    id += numbers.wide();
    const u64 what = numbers.next();
    item.type = static_cast<u32>(what % 16 == 15 ? what : HO_ITEM_BLOB + what % 3);
    item.size = numbers.wide();
    if (item.type == HO_ITEM_VMALLOC) {
      item.order = static_cast<u16>(numbers.next() % 20);
      item.size <<= 12 + item.order;
      item.crc = static_cast<u32>(numbers.next());
    }
    if (item.type != HO_ITEM_BLOB) item.where = numbers.wide() << 12;
    const u64 mistake = numbers.next() * 4;
    if (mistake < sizeof(item)) {
      const auto number = static_cast<u32>(numbers.wide());
      std::memcpy(reinterpret_cast<char*>(&item) + mistake, &number, sizeof(number));
    }
    items.push_back(item);
  }

  ho_kernel_head head{};
  u64 end = sizeof(head) + items.size() * sizeof(ho_item_record);
  for (ho_item_record& item : items) {
    if (item.type != HO_ITEM_BLOB || item.where != 0) continue;
    item.where = end;
    end = std::min<u64>(ho_kernel_align(end + item.size), 1 << 20);
  }
  head.magic = HO_KERNEL_MAGIC;
  head.version = HO_KERNEL_VERSION;
  head.count = static_cast<u32>(items.size());
  head.size = static_cast<u32>(end);
  std::vector<char> bytes(end);
  std::memcpy(bytes.data(), &head, sizeof(head));
  if (!items.empty()) {
    std::memcpy(bytes.data() + sizeof(head), items.data(), items.size() * sizeof(items[0]));
  }
  return bytes;
}

void look_at_descriptions(std::string_view text) {
  const std::vector<char> plain(text.begin(), text.end());
  if (passes(ho_kernel_check(plain.data(), plain.size()))) look_at_description(plain);
  if (plain.size() >= sizeof(ho_kernel_head)) {
    std::vector<char> repaired = plain;
    ho_kernel_head head{};
    std::memcpy(&head, repaired.data(), sizeof(head));
    head.size = static_cast<u32>(repaired.size());
    std::memcpy(repaired.data(), &head, sizeof(head));
    if (passes(ho_kernel_check(repaired.data(), repaired.size()))) look_at_description(repaired);
  }
  const std::vector<char> written = some_description(Numbers(text));
  if (passes(ho_kernel_check(written.data(), written.size()))) look_at_description(written);
}

/// Record after record from small numbers: what comes next is seldom quite wrong.
void write(Page& page, ho_table_type type, Numbers numbers) {
  ho_table_start(page.data(), type);
  u64 at = numbers.wide();
  u64 pfn = numbers.next() % 8 == 7 ? HO_MAX_PFN - numbers.wide() : numbers.wide();
  const std::size_t room = (HO_TABLE_SIZE - sizeof(ho_table_head)) / record_size(type);
  for (std::size_t i = 0; i < room && numbers.more(); ++i) {
    switch (type) {
      case HO_TABLE_ROOT:
        page.set(offsetof(ho_root, nr_sessions), static_cast<u32>(numbers.next()));
        page.set(offsetof(ho_root, sessions), u64{numbers.next() << 12});
        page.set(offsetof(ho_root, joined), some_table(numbers, HO_RUNS_PER_PAGE));
        break;
      case HO_TABLE_SESSIONS: {
        ho_session_record record{};
        std::memset(record.name, 'a', numbers.next() % (HO_NAME_LENGTH + 1));
        record.nr_entries = static_cast<u32>(numbers.next());
        record.entries = numbers.next() << 12;
        page.add(record);
        break;
      }
      case HO_TABLE_ENTRIES:
        page.add(some_entry(numbers));
        break;
      case HO_TABLE_DIRECTORY:
        page.add(ho_directory_record{(1 + numbers.next()) << 12, at});
        at += numbers.wide();
        break;
      case HO_TABLE_EXTENTS: {
        const ho_extent extent = {at, pfn % HO_MAX_PFN, 1 + numbers.wide() % HO_EXTENT_MAX_PAGES};
        page.add(ho_extent_pack(extent));
        at += extent.nr + numbers.wide() - 1;  // may overlap by one
        pfn += numbers.wide();
        break;
      }
      case HO_TABLE_RUNS: {
        const u64 what = numbers.next();
        const auto order = static_cast<u32>(what < 20 ? what : 0);
        if (what != 20) pfn = (pfn + (1ULL << order) - 1) >> order << order;
        const ho_run run = {pfn % HO_MAX_PFN,
                            static_cast<u32>(1 + numbers.wide() % HO_RUN_MAX_COUNT), order};
        page.add(ho_run_pack(run));
        pfn = run.pfn + ho_run_pages(run) + numbers.wide();
        if (what == 21) --pfn;
        break;
      }
      default:
        page.add(static_cast<u8>(numbers.next()));
    }
  }
  if (numbers.next() == 7) {
    auto head = page.at<ho_table_head>(0);
    ++head.count;  // one more than were written, or than fit
    page.set(0, head);
  }
  ho_table_end(page.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto type = static_cast<ho_table_type>(HO_TABLE_ROOT + (data[0] & 0xf) % HO_TABLE_BLOB);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);

  Page page(data[0] >> 4 & 7, text);
  look_at(page, Numbers(text));
  repair(page, type, (data[0] & 0x80) != 0);
  look_at(page, Numbers(text));
  write(page, type, Numbers(text));
  look_at(page, Numbers(text));

  // The blobs of other modules, put together from pages that have passed.
  if (type == HO_TABLE_BLOB) look_at_descriptions(text);
  return 0;
}

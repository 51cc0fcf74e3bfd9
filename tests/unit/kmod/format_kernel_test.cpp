// SPDX-License-Identifier: LGPL-2.1-or-later
// The description of a set, other modules' memory: what passes, and that nothing wrong does.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "pages.h"

namespace handover {
namespace {

constexpr u64 above = HO_MAX_PFN << HO_PAGE_SHIFT;  // the first address that none can have

/// A description in memory that ends where nobody may read on.
class Description {
 public:
  explicit Description(const std::vector<u8>& bytes)
      : size_(bytes.size()), room_((bytes.size() / HO_TABLE_SIZE + 1) * HO_TABLE_SIZE) {
    map_ = ::mmap(nullptr, room_ + HO_TABLE_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    ::mprotect(static_cast<u8*>(map_) + room_, HO_TABLE_SIZE, PROT_NONE);
    if (size_ != 0) std::memcpy(data(), bytes.data(), size_);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  Description(Description&&) = delete;
  Description& operator=(Description&&) = delete;
  ~Description() { ::munmap(map_, room_ + HO_TABLE_SIZE); }

  u8* data() { return static_cast<u8*>(map_) + room_ - size_; }
  int check() { return ho_kernel_check(data(), size_); }

 private:
  std::size_t size_;
  std::size_t room_;
  void* map_ = nullptr;
};

ho_item_record blob(u64 id, u64 size, u64 where) {
  return {.id = id,
          .size = size,
          .where = where,
          .type = HO_ITEM_BLOB,
          .crc = 0,
          .order = 0,
          .flags = 0,
          .reserved = 0};
}

ho_item_record kmalloc(u64 id, u64 size = 5 << HO_PAGE_SHIFT) {
  return {.id = id,
          .size = size,
          .where = 0x123000,
          .type = HO_ITEM_KMALLOC,
          .crc = 0,
          .order = 0,
          .flags = 0,
          .reserved = 0};
}

ho_item_record vmalloc(u64 id, u64 pages = 1030, u16 order = 0) {
  return {.id = id,
          .size = pages << HO_PAGE_SHIFT,
          .where = 0x456000,
          .type = HO_ITEM_VMALLOC,
          .crc = 0x12345678,
          .order = order,
          .flags = 1,
          .reserved = 0};
}

/// As it is written, before anything goes wrong.
struct Parts {
  ho_kernel_head head = {
      .magic = HO_KERNEL_MAGIC, .version = HO_KERNEL_VERSION, .reserved = 0, .count = 0, .size = 0};
  std::vector<ho_item_record> items;
  u64 data = 0;  // bytes

  std::vector<u8> bytes() const {
    const std::size_t records = items.size() * sizeof(ho_item_record);
    std::vector<u8> all(sizeof head + records + data, 0x5a);
    std::memcpy(all.data(), &head, sizeof head);
    if (records != 0) std::memcpy(all.data() + sizeof head, items.data(), records);
    return all;
  }
  int check() const { return Description(bytes()).check(); }
};

/// Counts and offsets as they should be.
Parts parts(std::vector<ho_item_record> items) {
  Parts result;
  u64 at = sizeof(ho_kernel_head) + items.size() * sizeof(ho_item_record);
  const u64 first = at;
  for (auto& item : items) {
    if (item.type != HO_ITEM_BLOB) continue;
    item.where = at;
    at = ho_kernel_align(at + item.size);
  }
  result.head.count = static_cast<u32>(items.size());
  result.head.size = static_cast<u32>(at);
  result.items = std::move(items);
  result.data = at - first;
  return result;
}

/// One of each, and blobs of sizes that need padding and that do not.
Parts sample() {
  return parts({blob(0, 13, 0), blob(1, 0, 0), vmalloc(3), kmalloc(4), blob(7, 8, 0),
                vmalloc(8, 1024, 9), kmalloc(1'000'000, 1), blob(~0ULL, 1, 0)});
}

TEST(KernelCheck, LetsPassWhatIsRight) {
  EXPECT_EQ(sample().check(), 0);
  EXPECT_EQ(parts({}).check(), 0);
  EXPECT_EQ(parts({blob(5, 0, 0)}).check(), 0);
  EXPECT_EQ(parts({blob(5, HO_TABLE_SIZE, 0), blob(6, 70'001, 0)}).check(), 0);
  EXPECT_EQ(parts({kmalloc(5, u64{1} << (HO_MAX_ORDER + HO_PAGE_SHIFT))}).check(), 0);
  EXPECT_EQ(parts({vmalloc(5, 1)}).check(), 0);
  EXPECT_EQ(parts({vmalloc(5, ~0U)}).check(), 0);
  EXPECT_EQ(parts({vmalloc(5, u64{1} << HO_MAX_ORDER, HO_MAX_ORDER)}).check(), 0);
  const u64 largest = HO_KERNEL_MAX_SIZE - sizeof(ho_kernel_head) - sizeof(ho_item_record);
  EXPECT_EQ(parts({blob(5, largest, 0)}).check(), 0);
  EXPECT_EQ(parts({blob(5, largest + 1, 0)}).check(), -EBADMSG);
}

TEST(KernelCheck, TellsAnotherVersionFromDamage) {
  for (const u16 version : {0, HO_KERNEL_VERSION + 1, 0xffff}) {
    Parts other = sample();
    other.head.version = version;
    EXPECT_EQ(other.check(), -EPROTO) << version;
  }
}

TEST(KernelCheck, RefusesEachWrongField) {
  using Change = std::function<void(Parts&)>;
  const std::vector<std::pair<std::string, Change>> cases = {
      {"another magic", [](Parts& all) { all.head.magic ^= 1; }},
      {"a reserved bit of the head", [](Parts& all) { all.head.reserved = 1; }},
      {"a size too small", [](Parts& all) { --all.head.size; }},
      {"a size too large", [](Parts& all) { ++all.head.size; }},
      {"an item less", [](Parts& all) { --all.head.count; }},
      {"an item more", [](Parts& all) { ++all.head.count; }},
      {"all the items", [](Parts& all) { all.head.count = ~0U; }},
      {"data behind the last",
       [](Parts& all) {
         all.head.size += 8;
         all.data += 8;
       }},
      {"data cut off",
       [](Parts& all) {
         all.head.size -= 8;
         all.data -= 8;
       }},
      {"an id twice", [](Parts& all) { all.items[3].id = 3; }},
      {"ids that descend", [](Parts& all) { all.items[3].id = 2; }},
      {"type 0", [](Parts& all) { all.items[3].type = 0; }},
      {"a type to come", [](Parts& all) { all.items[3].type = HO_ITEM_TYPES; }},
      {"a reserved bit of an item", [](Parts& all) { all.items[2].reserved = 1; }},
      {"a blob that begins too early", [](Parts& all) { --all.items[4].where; }},
      {"a blob that begins too late", [](Parts& all) { all.items[4].where += 8; }},
      {"a blob in the records", [](Parts& all) { all.items[0].where = 16; }},
      {"a blob that ends behind the end", [](Parts& all) { all.items[7].size = 9; }},
      {"an endless blob", [](Parts& all) { all.items[0].size = ~0ULL; }},
      {"a blob whose end wraps", [](Parts& all) { all.items[7].size = 0ULL - 8; }},
      {"a blob that wraps, and one that makes up for it",
       [](Parts& all) {
         all.items[4].size = 0ULL - 16;
         all.items[7].where = all.items[4].where - 16;
         all.items[7].size = all.head.size - all.items[7].where;
       }},
      {"a blob with a CRC", [](Parts& all) { all.items[0].crc = 1; }},
      {"a blob with an order", [](Parts& all) { all.items[0].order = 1; }},
      {"a blob with flags", [](Parts& all) { all.items[0].flags = 1; }},
      {"a buffer nowhere", [](Parts& all) { all.items[3].where = 0; }},
      {"a buffer within a page", [](Parts& all) { all.items[3].where += 8; }},
      {"a buffer above all memory", [](Parts& all) { all.items[3].where = above; }},
      {"a buffer of nothing", [](Parts& all) { all.items[3].size = 0; }},
      {"a buffer too large",
       [](Parts& all) { all.items[3].size = (u64{1} << (HO_MAX_ORDER + HO_PAGE_SHIFT)) + 1; }},
      {"a buffer with a CRC", [](Parts& all) { all.items[3].crc = 1; }},
      {"a buffer with an order", [](Parts& all) { all.items[3].order = 1; }},
      {"a buffer with flags", [](Parts& all) { all.items[3].flags = 1; }},
      {"an area nowhere", [](Parts& all) { all.items[2].where = 0; }},
      {"an area listed within a page", [](Parts& all) { all.items[2].where += 8; }},
      {"an area listed above all memory", [](Parts& all) { all.items[2].where = above; }},
      {"an area of nothing", [](Parts& all) { all.items[2].size = 0; }},
      {"an area of part of a page", [](Parts& all) { ++all.items[2].size; }},
      {"an area of more pages than can be counted",
       [](Parts& all) { all.items[2].size = u64{1} << (32 + HO_PAGE_SHIFT); }},
      {"an area of part of a folio", [](Parts& all) { all.items[5].size += HO_TABLE_SIZE; }},
      {"an area of too large an order",
       [](Parts& all) {
         all.items[5].order = HO_MAX_ORDER + 1;
         all.items[5].size = u64{1} << (HO_MAX_ORDER + 1 + HO_PAGE_SHIFT);
       }},
      {"an area of an order beyond any", [](Parts& all) { all.items[5].order = 0xffff; }},
  };
  for (const auto& [what, change] : cases) {
    Parts all = sample();
    change(all);
    EXPECT_EQ(all.check(), -EBADMSG) << what;
  }
}

TEST(KernelCheck, RefusesEveryBeginning) {
  const std::vector<u8> whole = sample().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<u8> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(Description(part).check(), -EBADMSG) << size;
    // Though it says that it is no longer.
    std::vector<u8> shorter = part;
    if (size < sizeof(ho_kernel_head)) continue;
    const u32 says = static_cast<u32>(size);
    std::memcpy(shorter.data() + offsetof(ho_kernel_head, size), &says, sizeof says);
    EXPECT_EQ(Description(shorter).check(), -EBADMSG) << size;
  }
}

/// What the module relies on when it has passed.
void expect_sound(u8* data, u64 size) {
  ho_kernel_head head{};
  std::memcpy(&head, data, sizeof head);
  const u64 first = sizeof head + u64{head.count} * sizeof(ho_item_record);
  ASSERT_LE(first, size);
  u64 end = first;
  for (u32 i = 0; i < head.count; ++i) {
    ho_item_record item{};
    std::memcpy(&item, data + sizeof head + i * sizeof item, sizeof item);
    if (item.type != HO_ITEM_BLOB) continue;
    ASSERT_GE(u64{item.where}, end);
    ASSERT_LE(u64{item.where}, size);
    ASSERT_LE(u64{item.size}, size - item.where);
    end = item.where + item.size;
  }
}

// The pages that it is cut into have CRCs: this is about whoever gets past them.
TEST(KernelCheck, IsSafeWithAnyBytes) {
  const std::vector<u8> whole = sample().bytes();
  Description description(whole);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    u8* const byte = description.data() + bit / 8;
    *byte = static_cast<u8>(*byte ^ 1U << bit % 8);
    if (description.check() == 0) expect_sound(description.data(), whole.size());
    *byte = static_cast<u8>(*byte ^ 1U << bit % 8);
  }
  std::mt19937 random(3);
  for (int round = 0; round < 200'000; ++round) {
    std::memcpy(description.data(), whole.data(), whole.size());
    for (u32 changes = 1 + random() % 4; changes != 0; --changes) {
      description.data()[random() % whole.size()] = static_cast<u8>(random());
    }
    if (description.check() == 0) expect_sound(description.data(), whole.size());
  }
  EXPECT_EQ(Description({}).check(), -EBADMSG);
}

}  // namespace
}  // namespace handover

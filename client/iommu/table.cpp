// SPDX-License-Identifier: LGPL-2.1-or-later
#include "table.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

namespace handover::iommu {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint64_t magic = 0x554d4d4f49444e48;  // "HNDIOMMU"
constexpr std::uint32_t flag_bus_master = 1;

struct RawHead {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t memories;
  std::uint32_t slots;
  std::uint32_t used;
  std::uint64_t sum;  ///< of the checksums of the slots in use, each with its place
  std::uint32_t flags;
  std::uint32_t ioas;
  std::array<char, 24> device;
  std::array<std::uint8_t, 60> reserved;
  std::uint32_t checksum;
};
static_assert(sizeof(RawHead) == 128);

struct RawMemory {
  std::array<char, 64> name;
  std::uint64_t bytes;
  std::uint64_t token;
  std::uint32_t reserved;
  std::uint32_t checksum;
};
static_assert(sizeof(RawMemory) == 88);

struct RawMapping {
  std::uint64_t iova;
  std::uint64_t length;
  std::uint64_t offset;
  std::uint32_t memory;
  std::uint32_t rights;
  std::uint32_t reserved;
  std::uint32_t checksum;
};
static_assert(sizeof(RawMapping) == 40);

/// Of all before the checksum itself, which is last; `place` keeps two entries from changing
/// places.
template <typename Raw>
std::uint32_t checksum_of(const Raw& raw, std::uint32_t place) {
  std::array<unsigned char, sizeof(Raw)> bytes = {};
  std::memcpy(bytes.data(), &raw, sizeof(raw));
  const uLong seed =
      crc32(crc32(0, nullptr, 0), reinterpret_cast<const Bytef*>(&place), sizeof(place));
  return static_cast<std::uint32_t>(crc32(seed, bytes.data(), sizeof(raw) - sizeof(raw.checksum)));
}

template <typename Raw>
Raw load(std::span<const std::byte> bytes, std::size_t offset) {
  Raw raw = {};
  std::memcpy(&raw, bytes.data() + offset, sizeof(raw));
  return raw;
}

template <typename Raw>
void store(std::span<std::byte> bytes, std::size_t offset, Raw& raw, std::uint32_t place) {
  raw.checksum = checksum_of(raw, place);
  std::memcpy(bytes.data() + offset, &raw, sizeof(raw));
}

/// One slot's part of the head's sum.
std::uint64_t share(std::uint32_t slot, std::uint32_t checksum) {
  return (std::uint64_t{slot} + 1) * 0x9e3779b97f4a7c15 + checksum;
}

template <std::size_t N>
std::string text_of(const std::array<char, N>& raw) {
  return {raw.data(), strnlen(raw.data(), N)};
}

template <std::size_t N>
void put_text(std::array<char, N>& raw, const std::string& text) {
  raw.fill(0);
  std::copy_n(text.begin(), std::min(text.size(), N - 1), raw.begin());
}

std::size_t mappings_offset(std::size_t memories) {
  return sizeof(RawHead) + memories * sizeof(RawMemory);
}

client::Error damaged(const std::string& what) {
  return {"", "The table of mappings is damaged: " + what + ".", EBADMSG};
}

client::Result<RawHead> read_head(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(RawHead)) return damaged("it is too short");
  const auto head = load<RawHead>(bytes, 0);
  if (head.magic != magic) return damaged("it does not begin as one");
  if (head.version != table_version) {
    return client::Error{"",
                         "The table of mappings has version " + std::to_string(head.version) +
                             "; this program reads " + std::to_string(table_version) + ".",
                         EPROTONOSUPPORT};
  }
  if (head.checksum != checksum_of(head, 0)) return damaged("its head's checksum is wrong");
  if (head.memories > most_memories || head.slots > most_slots || head.used > head.slots ||
      bytes.size() < table_bytes(head.memories, head.slots)) {
    return damaged("its numbers cannot be");
  }
  return head;
}

client::Result<std::vector<Memory>> read_memories(std::span<const std::byte> bytes,
                                                  std::uint32_t count) {
  std::vector<Memory> memories;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto raw = load<RawMemory>(bytes, sizeof(RawHead) + i * sizeof(RawMemory));
    if (raw.checksum != checksum_of(raw, i)) {
      return damaged("the checksum of memory " + std::to_string(i) + " is wrong");
    }
    memories.push_back({text_of(raw.name), raw.bytes, raw.token});
  }
  return memories;
}

bool is_free(const RawMapping& raw) {
  static constexpr std::array<std::byte, sizeof(RawMapping)> zero = {};
  return std::memcmp(&raw, zero.data(), sizeof(raw)) == 0;
}

}  // namespace

std::size_t table_bytes(std::size_t memories, std::uint32_t slots) {
  return mappings_offset(memories) + std::size_t{slots} * sizeof(RawMapping);
}

client::Result<TableContents> read_table(std::span<const std::byte> bytes) {
  auto head = read_head(bytes);
  if (!head) return head.error();
  auto memories = read_memories(bytes, head->memories);
  if (!memories) return memories.error();

  TableContents contents;
  contents.head = {text_of(head->device), (head->flags & flag_bus_master) != 0, head->ioas};
  contents.memories = std::move(*memories);
  contents.slots = head->slots;
  // The rules of a set, in the widest limits: the device's own are asked for when it is there.
  MappingSet seen;
  std::uint64_t sum = 0;
  const Limits widest{{Range{}}, 1};
  for (std::uint32_t slot = 0; slot < head->slots; ++slot) {
    const auto raw = load<RawMapping>(
        bytes, mappings_offset(head->memories) + std::size_t{slot} * sizeof(RawMapping));
    if (is_free(raw)) continue;
    if (raw.checksum != checksum_of(raw, slot)) {
      return damaged("the checksum of slot " + std::to_string(slot) + " is wrong");
    }
    const Mapping mapping{raw.iova, raw.length, raw.offset, raw.memory, raw.rights};
    if (auto good = seen.check(mapping, contents.memories, widest); !good) {
      return damaged(good.error().message);
    }
    seen.add(mapping, slot);
    sum += share(slot, raw.checksum);
    contents.mappings.emplace_back(mapping, slot);
  }
  if (contents.mappings.size() != head->used || sum != head->sum) {
    return damaged("a mapping is missing");
  }
  return contents;
}

TableWriter TableWriter::make(std::span<std::byte> bytes, const TableHead& head,
                              const std::vector<Memory>& memories, std::uint32_t slots) {
  TableWriter writer;
  writer.bytes_ = bytes;
  writer.head_ = head;
  writer.memories_ = static_cast<std::uint32_t>(memories.size());
  writer.slots_ = slots;
  for (std::uint32_t i = 0; i < writer.memories_; ++i) {
    RawMemory raw = {};
    put_text(raw.name, memories[i].name);
    raw.bytes = memories[i].bytes;
    raw.token = memories[i].token;
    store(bytes, sizeof(RawHead) + i * sizeof(RawMemory), raw, i);
  }
  for (std::uint32_t slot = slots; slot > 0; --slot) writer.free_.push_back(slot - 1);
  writer.write_head();
  return writer;
}

TableWriter::TableWriter(std::span<std::byte> bytes, const TableContents& contents)
    : bytes_(bytes),
      head_(contents.head),
      memories_(static_cast<std::uint32_t>(contents.memories.size())),
      slots_(contents.slots),
      used_(static_cast<std::uint32_t>(contents.mappings.size())) {
  std::vector<bool> taken(slots_);
  for (const auto& [mapping, slot] : contents.mappings) taken[slot] = true;
  for (std::uint32_t slot = slots_; slot > 0; --slot) {
    if (!taken[slot - 1]) free_.push_back(slot - 1);
  }
  for (const auto& [mapping, slot] : contents.mappings) {
    sum_ += share(slot, load<RawMapping>(slot_bytes(slot), 0).checksum);
  }
}

std::span<std::byte> TableWriter::slot_bytes(std::uint32_t slot) const {
  return bytes_.subspan(mappings_offset(memories_) + std::size_t{slot} * sizeof(RawMapping),
                        sizeof(RawMapping));
}

client::Result<std::uint32_t> TableWriter::add(const Mapping& mapping) {
  if (free_.empty()) {
    return client::Error{"",
                         "There are " + std::to_string(slots_) +
                             " mappings already, all that \"most-mappings\" allows.",
                         ENOSPC};
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  RawMapping raw = {
      mapping.iova, mapping.length, mapping.offset, mapping.memory, mapping.rights, 0, 0};
  store(slot_bytes(slot), 0, raw, slot);
  sum_ += share(slot, raw.checksum);
  ++used_;
  write_head();
  return slot;
}

void TableWriter::remove(std::uint32_t slot) {
  const auto bytes = slot_bytes(slot);
  sum_ -= share(slot, load<RawMapping>(bytes, 0).checksum);
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  --used_;
  free_.push_back(slot);
  write_head();
}

void TableWriter::set_head(const TableHead& head) {
  head_ = head;
  write_head();
}

void TableWriter::write_head() {
  RawHead raw = {};
  raw.magic = magic;
  raw.version = table_version;
  raw.memories = memories_;
  raw.slots = slots_;
  raw.used = used_;
  raw.sum = sum_;
  raw.flags = head_.bus_master ? flag_bus_master : 0U;
  raw.ioas = head_.ioas;
  put_text(raw.device, head_.device);
  store(bytes_, 0, raw, 0);
}

}  // namespace handover::iommu

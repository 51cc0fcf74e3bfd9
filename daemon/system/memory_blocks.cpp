// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/memory_blocks.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string_view>
#include <vector>

#include "system/files.h"
#include "system/small_files.h"

namespace handover::system {

namespace {

// struct boot_params (Documentation/arch/x86/zero-page.rst).
constexpr std::size_t e820_entries = 0x1e8;
constexpr std::size_t e820_table = 0x2d0;
constexpr std::size_t e820_entry_bytes = 20;
/// With so many entries the rest is elsewhere (setup_data).
constexpr unsigned most_entries = 128;

struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

std::uint64_t number_of(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) {
    value = value << 8U | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

std::uint64_t hexadecimal(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

/// Everything that the map has, whatever it is for; empty: the map is not known.
std::vector<Range> boot_map(const std::string& root) {
  const auto parameters = read_file(root + "/sys/kernel/boot_params/data");
  if (!parameters || parameters->size() <= e820_entries) return {};
  const auto count = static_cast<unsigned char>((*parameters)[e820_entries]);
  if (count >= most_entries || parameters->size() < e820_table + count * e820_entry_bytes) {
    return {};
  }
  std::vector<Range> map;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = e820_table + i * e820_entry_bytes;
    const auto begin = number_of(*parameters, at, 8);
    map.push_back({begin, begin + number_of(*parameters, at + 8, 8)});
  }
  return map;
}

}  // namespace

std::uint64_t hot_added_memory(const std::string& root) {
  const auto directory = root + "/sys/devices/system/memory/";
  const auto block_bytes = hexadecimal(text_in(directory + "block_size_bytes"));
  const auto map = boot_map(root);
  if (block_bytes == 0 || map.empty()) return 0;
  std::uint64_t bytes = 0;
  for (const auto& name : names_in_directory(directory)) {
    const auto block = directory + name;
    const auto index = text_in(block + "/phys_index");
    if (index.empty()) continue;
    const auto begin = hexadecimal(index) * block_bytes;
    const bool known = std::any_of(map.begin(), map.end(), [&](const Range& range) {
      return range.begin < begin + block_bytes && begin < range.end;
    });
    // Almost all are known: two files less to read of each.
    if (known || text_in(block + "/state") != "online") continue;
    if (!text_in(block + "/valid_zones").starts_with("Movable")) bytes += block_bytes;
  }
  return bytes;
}

}  // namespace handover::system

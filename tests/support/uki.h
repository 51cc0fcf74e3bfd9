// SPDX-License-Identifier: LGPL-2.1-or-later
// PE files put together byte by byte, for tests of what reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace handover::test {

inline std::string little_endian_bytes(std::uint64_t value, std::size_t size) {
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

/// Sections by name and contents, each filled up to whole blocks of 512 bytes.
inline std::string pe_file(const std::vector<std::pair<std::string, std::string>>& sections) {
  constexpr std::size_t header = 0x80;
  constexpr std::size_t optional_size = 240;
  constexpr std::size_t block = 512;
  const auto blocks = [](std::size_t size) { return (size + block - 1) / block * block; };
  std::string head = "MZ";
  head.resize(0x3c);
  head += little_endian_bytes(header, 4);
  head.resize(header);
  head += std::string("PE\0\0", 4) + little_endian_bytes(0x8664, 2) +
          little_endian_bytes(sections.size(), 2);
  head.resize(header + 4 + 16);
  head += little_endian_bytes(optional_size, 2) + little_endian_bytes(0x206, 2);
  head.resize(header + 4 + 20 + optional_size);
  const auto begin = blocks(head.size() + 40 * sections.size());
  std::string body;
  for (const auto& [name, contents] : sections) {
    std::string entry = name;
    entry.resize(8);
    entry += little_endian_bytes(contents.size(), 4) +
             little_endian_bytes(0x1000 + begin + body.size(), 4) +
             little_endian_bytes(blocks(contents.size()), 4) +
             little_endian_bytes(begin + body.size(), 4);
    entry.resize(40);
    head += entry;
    body += contents;
    body.resize(blocks(body.size()));
  }
  head.resize(begin);
  return head + body;
}

}  // namespace handover::test

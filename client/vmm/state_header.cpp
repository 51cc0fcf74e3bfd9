// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state_header.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace handover::vmm {
namespace {

constexpr std::array<unsigned char, 8> magic = {'h', 'o', 'v', 'r', 'v', 'm', 'm', '\n'};
constexpr std::uint32_t version = 1;
constexpr std::uint32_t flag_ran = 1;
constexpr std::size_t own_crc_at = 60;

template <typename Number>
void put(HeaderBytes& bytes, std::size_t at, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    bytes.at(at + i) = static_cast<unsigned char>(number >> (8 * i));
  }
}

template <typename Number>
Number get(std::span<const unsigned char> bytes, std::size_t at) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    number |= static_cast<Number>(static_cast<Number>(bytes[at + i]) << (8 * i));
  }
  return number;
}

client::Error damaged(const std::string& what) {
  return {"", "The guest's state is not complete: " + what, EBADMSG};
}

}  // namespace

std::uint32_t crc_of(std::span<const unsigned char> bytes) {
  return static_cast<std::uint32_t>(crc32_z(crc32_z(0, nullptr, 0), bytes.data(), bytes.size()));
}

HeaderBytes encode(const StateHeader& header) {
  HeaderBytes bytes = {};
  std::copy(magic.begin(), magic.end(), bytes.begin());
  put(bytes, 8, version);
  put(bytes, 12, header.description_bytes);
  put(bytes, 16, header.state_bytes);
  put(bytes, 24, header.stopped_at);
  put(bytes, 32, header.description_crc);
  put(bytes, 36, header.state_crc);
  put(bytes, 40, header.ran ? flag_ran : 0U);
  put(bytes, own_crc_at, crc_of(std::span(bytes).first(own_crc_at)));
  return bytes;
}

client::Result<StateHeader> decode(std::span<const unsigned char> memory) {
  if (memory.size() < header_bytes) return damaged("there is no room for a header.");
  const auto bytes = memory.first(header_bytes);
  if (!std::equal(magic.begin(), magic.end(), bytes.begin())) {
    return damaged("it was never written to its end.");
  }
  if (get<std::uint32_t>(bytes, own_crc_at) != crc_of(bytes.first(own_crc_at))) {
    return damaged("its header has a wrong checksum.");
  }
  if (const auto found = get<std::uint32_t>(bytes, 8); found != version) {
    return damaged("its version is " + std::to_string(found) + ", and only 1 is understood.");
  }
  StateHeader header;
  header.description_bytes = get<std::uint32_t>(bytes, 12);
  header.state_bytes = get<std::uint64_t>(bytes, 16);
  header.stopped_at = get<std::uint64_t>(bytes, 24);
  header.description_crc = get<std::uint32_t>(bytes, 32);
  header.state_crc = get<std::uint32_t>(bytes, 36);
  header.ran = (get<std::uint32_t>(bytes, 40) & flag_ran) != 0;

  const auto body = memory.subspan(header_bytes);
  if (header.description_bytes > body.size() ||
      header.state_bytes > body.size() - header.description_bytes) {
    return damaged("it ends before its length.");
  }
  const auto description = body.first(header.description_bytes);
  const auto state = body.subspan(header.description_bytes, header.state_bytes);
  if (crc_of(description) != header.description_crc || crc_of(state) != header.state_crc) {
    return damaged("its checksum is wrong.");
  }
  return header;
}

}  // namespace handover::vmm

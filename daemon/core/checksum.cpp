// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/checksum.h"

#include <zlib.h>

#include <cstdint>

namespace handover {

std::string checksum(std::string_view text) {
  const auto value = static_cast<std::uint32_t>(
      // zlib's API is unsigned char; reading chars so is what char's aliasing rule allows.
      crc32_z(0, reinterpret_cast<const unsigned char*>(text.data()), text.size()));
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (int shift = 28; shift >= 0; shift -= 4) out += digits[(value >> shift) & 0xFU];
  return out;
}

}  // namespace handover

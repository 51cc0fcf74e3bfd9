// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/efi_variable.h"

#include <cstddef>
#include <cstdint>

namespace handover {

std::string text_of_efi_variable(std::string_view bytes) {
  constexpr std::size_t attributes = 4;
  if (bytes.size() <= attributes || bytes.size() % 2 != 0) return {};
  bytes.remove_prefix(attributes);
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 2) {
    const auto unit = static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at]) |
                                                 static_cast<unsigned char>(bytes[at + 1]) << 8);
    if (unit == 0) break;
    // Ids are names of files on FAT: no character outside of the first plane.
    if (unit >= 0xd800 && unit < 0xe000) return {};
    if (unit < 0x80) {
      text += static_cast<char>(unit);
    } else if (unit < 0x800) {
      text += static_cast<char>(0xc0 | unit >> 6U);
      text += static_cast<char>(0x80 | (unit & 0x3fU));
    } else {
      text += static_cast<char>(0xe0 | unit >> 12U);
      text += static_cast<char>(0x80 | (unit >> 6U & 0x3fU));
      text += static_cast<char>(0x80 | (unit & 0x3fU));
    }
  }
  return text;
}

}  // namespace handover

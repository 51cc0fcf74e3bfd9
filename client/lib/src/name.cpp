// SPDX-License-Identifier: LGPL-2.1-or-later
#include "name.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>

#include "error.h"

namespace handover::client {
namespace {

unsigned byte_at(std::string_view text, std::size_t index) {
  return static_cast<unsigned char>(text[index]);
}

/// Bytes of the character that `text` begins with, by sd-bus's rules: UTF-8 (RFC 3629), without
/// Unicode's noncharacters. 0 if there is none.
std::size_t character_length(std::string_view text) {
  constexpr std::array<unsigned, 5> least = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned first = byte_at(text, 0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 0 || first >= 0xf8 || text.size() < length) return 0;
  unsigned code = first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(text, i) & 0xc0U) != 0x80) return 0;
    code = code << 6U | (byte_at(text, i) & 0x3fU);
  }
  const bool surrogate = (code & 0x1ff800U) == 0xd800;
  const bool no_character = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffeU) == 0xfffe;
  return code < least[length] || code > 0x10ffff || surrogate || no_character ? 0 : length;
}

bool can_be_sent(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// The same text with what is not ASCII, or a control character, as \xNN.
std::string escaped(std::string_view text) {
  std::string shown;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const unsigned byte = byte_at(text, i);
    if (byte >= 0x20 && byte < 0x7f) {
      shown += text[i];
    } else {
      std::array<char, 5> code = {};
      snprintf(code.data(), code.size(), "\\x%02x", byte);
      shown += code.data();
    }
  }
  return shown;
}

}  // namespace

int check_names(std::initializer_list<const char*> names, handover_error** error) {
  for (const char* name : names) {
    if (!name || can_be_sent(name)) continue;
    return report(
        error, EINVAL, HANDOVER_ERROR_PREFIX "InvalidName",
        "The name '" + escaped(name) + "' is not UTF-8; choose one of 1 to 63 bytes of UTF-8.");
  }
  return 0;
}

}  // namespace handover::client

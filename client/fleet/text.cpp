// SPDX-License-Identifier: LGPL-2.1-or-later
#include "text.h"

#include <array>
#include <cstdint>

namespace handover::fleet {
namespace {

constexpr std::string_view digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string one_line(std::string_view text) {
  constexpr std::size_t most = 200;
  std::string line;
  for (const unsigned char c : text) {
    const bool blank = c < 0x20 || c == ' ' || c == 0x7f;
    if (!blank) {
      line += static_cast<char>(c < 0x80 ? c : '?');
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
    if (line.size() == most) break;
  }
  while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.pop_back();
  return line;
}

std::string to_base64(std::string_view bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto part = bytes.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < part.size() ? static_cast<unsigned char>(part[j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += j <= part.size() ? digits[bits >> (18 - 6 * j) & 0x3f] : '=';
    }
  }
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return {};
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::uint32_t bits = 0;
    std::size_t padding = 0;
    for (const char c : text.substr(i, 4)) {
      const auto digit = digits.find(c);
      const bool pads = c == '=' && i + 4 == text.size();
      if (pads ? ++padding > 2 : (digit == std::string_view::npos || padding > 0)) return {};
      bits = bits << 6 | (pads ? 0U : static_cast<std::uint32_t>(digit));
    }
    for (std::size_t j = 0; j < 3 - padding; ++j) {
      bytes += static_cast<char>(bits >> (16 - 8 * j) & 0xff);
    }
  }
  return bytes;
}

}  // namespace handover::fleet

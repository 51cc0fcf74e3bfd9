// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/text.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace handover {

namespace {

std::uint8_t byte_at(std::string_view text, std::size_t index) {
  return static_cast<std::uint8_t>(text[index]);
}

struct Lead {
  std::size_t length;
  std::uint8_t second_low;
  std::uint8_t second_high;
};

// Unicode 15, table 3-7: what the second byte may be depends on the first; the others are 80..BF.
Lead lead_of(std::uint8_t first) {
  if (first < 0x80) return {1, 0, 0};
  if (first < 0xC2) return {0, 0, 0};
  if (first < 0xE0) return {2, 0x80, 0xBF};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first < 0xF0) return {3, 0x80, 0xBF};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first < 0xF4) return {4, 0x80, 0xBF};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

std::size_t utf8_sequence_length(std::string_view text) {
  if (text.empty()) return 0;
  const Lead lead = lead_of(byte_at(text, 0));
  if (lead.length <= 1) return lead.length;
  if (text.size() < lead.length) return 0;
  const std::uint8_t second = byte_at(text, 1);
  if (second < lead.second_low || second > lead.second_high) return 0;
  for (std::size_t i = 2; i < lead.length; ++i) {
    if ((byte_at(text, i) & 0xC0) != 0x80) return 0;
  }
  return lead.length;
}

bool starts_with_control(std::string_view text) {
  if (text.empty()) return false;
  const std::uint8_t first = byte_at(text, 0);
  if (first < 0x20 || first == 0x7F) return true;
  return first == 0xC2 && text.size() > 1 && byte_at(text, 1) >= 0x80 && byte_at(text, 1) <= 0x9F;
}

namespace {

/// Shows nothing itself, and changes how what is round it is read: direction, breaks, joins. As
/// handoverctl has it.
bool starts_with_invisible(std::string_view text) {
  struct Range {
    std::string_view first, last;  // of one length, so that they compare as their characters do
  };
  constexpr std::array<Range, 5> invisible{{
      {"\u061c", "\u061c"},  // Arabic letter mark
      {"\u200b", "\u200f"},  // of no width; marks of direction
      {"\u2028", "\u202e"},  // line and paragraph separators; embeddings and overrides
      {"\u2060", "\u206f"},  // joiners, isolates
      {"\ufeff", "\ufeff"},  // byte order mark
  }};
  return std::any_of(invisible.begin(), invisible.end(), [&](const Range& range) {
    const auto character = text.substr(0, range.first.size());
    return character >= range.first && character <= range.last;
  });
}

}  // namespace

std::string printable(std::string_view text, std::size_t most_bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    if (out.size() >= most_bytes) return out + "…";
    const std::size_t length = utf8_sequence_length(text);
    if (length > 0 && !starts_with_control(text) && !starts_with_invisible(text)) {
      out += text.substr(0, length);
      text.remove_prefix(length);
      continue;
    }
    // Byte by byte, as what is not UTF-8.
    for (std::size_t i = 0; i < (length == 0 ? 1 : length); ++i) {
      out += "\\x";
      out += digits[byte_at(text, i) >> 4U];
      out += digits[byte_at(text, i) & 0xFU];
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string with_commas(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

std::string few_of(const std::vector<std::string>& names, std::size_t most) {
  if (names.size() <= most) return with_commas(names);
  const std::vector<std::string> few(names.begin(),
                                     names.begin() + static_cast<std::ptrdiff_t>(most));
  return with_commas(few) + " and " + std::to_string(names.size() - most) + " more";
}

std::string in_quotes(std::string_view text) { return "'" + printable(text) + "'"; }

}  // namespace handover

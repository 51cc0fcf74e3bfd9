// SPDX-License-Identifier: LGPL-2.1-or-later
#include "format.h"

#include <locale.h>  // newlocale()
#include <wchar.h>   // wcwidth()

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace handover::ctl {
namespace {

template <typename... Arguments>
std::string print(const char* format, Arguments... arguments) {
  std::array<char, 64> text = {};
  snprintf(text.data(), text.size(), format, arguments...);
  return text.data();
}

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

}  // namespace

std::string format_duration(std::uint64_t usec) {
  if (usec < 1000) return print("%u µs", static_cast<unsigned>(usec));
  // The limits are where rounding would give "1000.0 ms" and "60.000 s".
  if (usec < 999'950) return print("%.1f ms", static_cast<double>(usec) / 1e3);
  if (usec < 59'999'500) return print("%.3f s", static_cast<double>(usec) / 1e6);
  const auto seconds = static_cast<unsigned long long>((usec + 500'000) / 1'000'000);
  return print("%llu min %llu s", seconds / 60, seconds % 60);
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return print("%u B", static_cast<unsigned>(bytes));
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < units.size(); ++unit) value /= 1024;
  return print("%.1f %s", value, units[unit]);
}

std::string format_bar(std::uint64_t value, std::uint64_t most, std::size_t width) {
  constexpr std::array parts = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (value == 0 || most == 0) return "";
  const double share = static_cast<double>(value) / static_cast<double>(most);
  auto eighths = static_cast<std::size_t>(std::llround(share * static_cast<double>(width) * 8));
  if (eighths == 0) eighths = 1;
  if (eighths > width * 8) eighths = width * 8;
  std::string bar;
  for (std::size_t i = 0; i < eighths / 8; ++i) bar += "█";
  return bar + parts[eighths % 8];
}

namespace {

/// Shows nothing itself, and changes how what is round it looks: direction, breaks, joins.
bool is_invisible(char32_t character) {
  struct Range {
    char32_t first, last;
  };
  constexpr std::array invisible{
      Range{0x61c, 0x61c},      // Arabic letter mark
      Range{0x180e, 0x180e},    // Mongolian vowel separator
      Range{0x200b, 0x200f},    // of no width; marks of direction
      Range{0x2028, 0x202e},    // line and paragraph separators; embeddings and overrides
      Range{0x2060, 0x206f},    // joiners, isolates
      Range{0xfeff, 0xfeff},    // byte order mark
      Range{0xfff9, 0xfffb},    // annotations
      Range{0xe0000, 0xe007f},  // tags
  };
  return std::any_of(invisible.begin(), invisible.end(), [&](const Range& range) {
    return character >= range.first && character <= range.last;
  });
}

/// How many columns of a terminal a character takes; -1: it is none that a terminal shows.
int columns_of(char32_t character) {
  if (is_invisible(character)) return -1;
  // The process's own locale may be "C", where nothing beyond ASCII has a width.
  static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (utf8 == nullptr) return 1;
  const locale_t before = uselocale(utf8);
  const int columns = wcwidth(static_cast<wchar_t>(character));
  uselocale(before);
  return columns;
}

/// The first character of a text that is not empty, and what it takes. What is not UTF-8 counts as
/// one column a byte.
struct Character {
  std::string_view bytes;
  int columns = 1;  ///< -1: it is shown as a question mark

  [[nodiscard]] bool is_shown() const { return columns >= 0; }
  [[nodiscard]] std::size_t width() const {
    return is_shown() ? static_cast<std::size_t>(columns) : 1;
  }
};
Character first_character(std::string_view text) {
  std::size_t length = 1;
  while (length < text.size() && !begins_character(text[length])) ++length;
  const auto bytes = text.substr(0, length);
  const auto lead = static_cast<unsigned char>(bytes.front());
  constexpr std::size_t longest = 4;
  if (lead < 0x80 || length > longest)
    return {text.substr(0, 1), lead < 0x20 || lead == 0x7f ? -1 : 1};
  char32_t value = lead & (0xffU >> (length + 1));
  for (const char byte : bytes.substr(1)) {
    value = value << 6U | (static_cast<unsigned char>(byte) & 0x3fU);
  }
  return {bytes, columns_of(value)};
}

}  // namespace

std::size_t text_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const auto character = first_character(text);
    width += character.width();
    text.remove_prefix(character.bytes.size());
  }
  return width;
}

std::string fit_text(std::string_view text, std::size_t width) {
  const bool cut = text_width(text) > width;
  const std::size_t kept = !cut ? width : (width == 0 ? 0 : width - 1);
  std::string fitted;
  std::size_t used = 0;
  while (!text.empty()) {
    const auto character = first_character(text);
    used += character.width();
    if (used > kept) break;
    fitted += character.is_shown() ? character.bytes : "?";
    text.remove_prefix(character.bytes.size());
  }
  if (cut && width > 0) fitted += "…";
  return fitted;
}

std::string one_line(std::string_view text) { return fit_text(text, text.size()); }

std::vector<std::string> wrap_text(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  std::size_t used = 0;
  std::size_t blank = std::string::npos;  // where the last line can be broken
  while (!text.empty()) {
    const auto character = first_character(text);
    const char byte = character.bytes.front();
    text.remove_prefix(character.bytes.size());
    if (used + character.width() > width) {
      std::string rest;
      if (byte != ' ' && blank != std::string::npos) {
        rest = lines.back().substr(blank + 1);
        lines.back().erase(blank);
      }
      blank = std::string::npos;
      used = text_width(rest);
      lines.push_back(std::move(rest));
      if (byte == ' ') continue;
    }
    if (byte == ' ') blank = lines.back().size();
    used += character.width();
    lines.back() += character.bytes;
  }
  return lines;
}

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "size.h"

#include <cerrno>
#include <charconv>
#include <string>

namespace handover::common {
namespace {

client::Error refused(std::string_view text, const char* why) {
  return {"", "Size '" + std::string(text) + "' " + why, EINVAL};
}

/// How far a unit shifts, -1 if it is none.
int shift_of(char unit) {
  switch (unit) {
    case 'K':
    case 'k':
      return 10;
    case 'M':
      return 20;
    case 'G':
      return 30;
    case 'T':
      return 40;
    default:
      return -1;
  }
}

}  // namespace

client::Result<std::uint64_t> parse_size(std::string_view text) {
  constexpr const char* form = "is not a number of bytes, or a whole number with K, M, G or T.";
  std::uint64_t number = 0;
  const auto [rest, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status == std::errc::result_out_of_range) return refused(text, "is too large.");
  if (status != std::errc()) return refused(text, form);

  std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  int shift = 0;
  if (!unit.empty() && unit != "B") {
    shift = shift_of(unit.front());
    unit.remove_prefix(1);
    if (shift < 0 || !(unit.empty() || unit == "B" || unit == "iB")) return refused(text, form);
  }
  if (number == 0) return refused(text, "is zero: there would be nothing to keep.");
  if (number > (static_cast<std::uint64_t>(INT64_MAX) >> shift)) {
    return refused(text, "is too large.");
  }
  return number << shift;
}

}  // namespace handover::common

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/version_order.h"

#include <algorithm>
#include <cstddef>

namespace handover::system {
namespace {

bool is_decimal(char c) { return c >= '0' && c <= '9'; }

/// How a character that is no digit sorts (deb-version(7)): '~' even before the end, letters next.
int weight(std::string_view text, std::size_t at) {
  if (at >= text.size() || is_decimal(text[at])) return 0;
  const char c = text[at];
  if (c == '~' || text.substr(at).starts_with("-rc")) return -1;
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter ? c : c + 256;
}

std::string_view take_number(std::string_view text, std::size_t& at) {
  while (at < text.size() && text[at] == '0') ++at;
  const std::size_t start = at;
  while (at < text.size() && is_decimal(text[at])) ++at;
  return text.substr(start, at - start);
}

}  // namespace

bool version_less(std::string_view a, std::string_view b) {
  std::size_t at_a = 0;
  std::size_t at_b = 0;
  while (at_a < a.size() || at_b < b.size()) {
    while ((at_a < a.size() && !is_decimal(a[at_a])) || (at_b < b.size() && !is_decimal(b[at_b]))) {
      const int weight_a = weight(a, at_a);
      const int weight_b = weight(b, at_b);
      if (weight_a != weight_b) return weight_a < weight_b;
      ++at_a;
      ++at_b;
    }
    const std::string_view number_a = take_number(a, at_a);
    const std::string_view number_b = take_number(b, at_b);
    if (number_a.size() != number_b.size()) return number_a.size() < number_b.size();
    if (number_a != number_b) return number_a < number_b;
  }
  return false;
}

}  // namespace handover::system

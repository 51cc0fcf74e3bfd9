// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/version_order.h"

#include <algorithm>
#include <cstddef>

#include "core/ascii.h"

namespace handover {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// How a character that is no digit sorts (deb-version(7)): '~' even before the end, letters next.
int weight(std::string_view text, std::size_t at) {
  if (at >= text.size() || is_digit(text[at])) return 0;
  const char c = text[at];
  if (c == '~' || text.substr(at).starts_with("-rc")) return -1;
  return is_letter(c) ? c : c + 256;
}

bool counts_in_version(char c) {
  return is_digit(c) || is_letter(c) || c == '~' || c == '-' || c == '^' || c == '.';
}

/// Takes the leading characters that `of` is true for.
template <typename Of>
std::string_view take_leading(std::string_view& text, Of of) {
  std::size_t length = 0;
  while (length < text.size() && of(text[length])) ++length;
  const auto taken = text.substr(0, length);
  text.remove_prefix(length);
  return taken;
}

int sign_of(bool a, bool b) { return static_cast<int>(a) - static_cast<int>(b); }

/// Both begin with the same kind of part, which is taken; -1, 0 or 1.
int compare_parts(std::string_view& a, std::string_view& b) {
  const auto number = [](char c) { return is_digit(c); };
  if (!a.empty() && !b.empty() && !is_digit(a[0]) && !is_digit(b[0])) {
    const auto letters_a = take_leading(a, is_letter);
    const auto letters_b = take_leading(b, is_letter);
    const int order = letters_a.compare(letters_b);
    return sign_of(order > 0, order < 0);
  }
  auto digits_a = take_leading(a, number);
  auto digits_b = take_leading(b, number);
  // A number is newer than letters.
  if (digits_a.empty() || digits_b.empty()) return sign_of(!digits_a.empty(), !digits_b.empty());
  const auto zero = [](char c) { return c == '0'; };
  take_leading(digits_a, zero);
  take_leading(digits_b, zero);
  if (digits_a.size() != digits_b.size()) return digits_a.size() < digits_b.size() ? -1 : 1;
  const int order = digits_a.compare(digits_b);
  return sign_of(order > 0, order < 0);
}

std::string_view take_decimal(std::string_view text, std::size_t& at) {
  while (at < text.size() && text[at] == '0') ++at;
  const std::size_t start = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return text.substr(start, at - start);
}

}  // namespace

bool version_less(std::string_view a, std::string_view b) {
  std::size_t at_a = 0;
  std::size_t at_b = 0;
  while (at_a < a.size() || at_b < b.size()) {
    while ((at_a < a.size() && !is_digit(a[at_a])) || (at_b < b.size() && !is_digit(b[at_b]))) {
      const int weight_a = weight(a, at_a);
      const int weight_b = weight(b, at_b);
      if (weight_a != weight_b) return weight_a < weight_b;
      ++at_a;
      ++at_b;
    }
    const std::string_view number_a = take_decimal(a, at_a);
    const std::string_view number_b = take_decimal(b, at_b);
    if (number_a.size() != number_b.size()) return number_a.size() < number_b.size();
    if (number_a != number_b) return number_a < number_b;
  }
  return false;
}

int compare_versions(std::string_view a, std::string_view b) {
  const auto invalid = [](char c) { return !counts_in_version(c); };
  for (;;) {
    take_leading(a, invalid);
    take_leading(b, invalid);
    const auto begins = [](std::string_view text, char c) { return text.starts_with(c); };
    // Before the end: "~" makes a version older than the same without it.
    if (begins(a, '~') || begins(b, '~')) {
      if (const int order = sign_of(begins(b, '~'), begins(a, '~')); order != 0) return order;
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
    if (a.empty() || b.empty()) return sign_of(!a.empty(), !b.empty());
    for (const char separator : {'-', '^', '.'}) {
      if (!begins(a, separator) && !begins(b, separator)) continue;
      if (const int order = sign_of(begins(b, separator), begins(a, separator)); order != 0) {
        return order;
      }
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
    if (const int order = compare_parts(a, b); order != 0) return order;
  }
}

}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
// Words for enums: one table for each enum, and the same two functions for all.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace handover {

/// One line of an enum's table.
template <typename E>
struct Word {
  E value;
  std::string_view word;
};

// A function `words` beside the enum returns its table:
//
//   enum class Colour { red, green };
//   constexpr auto words(Colour) {
//     return std::to_array<Word<Colour>>({{Colour::red, "red"}, {Colour::green, "green"}});
//   }
//
// The table must have every value, in the order of the enum; otherwise it does not compile.

template <typename E>
concept HasWords = std::is_enum_v<E> && requires {
  words(E{});
};

namespace detail {

/// Whether the enum has this value. In the function's name, the compiler writes such a value by its
/// name, and any other as a cast: "value = (handover::Mode)4".
template <auto value>
constexpr bool is_named() {
  const std::string_view function = __PRETTY_FUNCTION__;
  return function.find('(', function.find("value = ")) == std::string_view::npos;
}

template <HasWords E>
constexpr bool is_in_order() {
  const auto table = words(E{});
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (static_cast<std::size_t>(table[i].value) != i) return false;
  }
  return true;
}

}  // namespace detail

/// The table of `E`.
template <HasWords E>
inline constexpr auto words_of = [] {
  constexpr auto table = words(E{});
  static_assert(detail::is_in_order<E>(), "the table is not in the enum's order");
  static_assert(!detail::is_named<static_cast<E>(table.size())>(), "the table lacks a value");
  return table;
}();

/// "unknown" if the enum does not have this value.
template <HasWords E>
constexpr std::string_view to_string(E value) {
  const auto index = static_cast<std::size_t>(value);
  return index < words_of<E>.size() ? words_of<E>[index].word : "unknown";
}

template <HasWords E>
constexpr std::optional<E> from_string(std::string_view word) {
  for (const Word<E>& line : words_of<E>) {
    if (line.word == word) return line.value;
  }
  return std::nullopt;
}

/// Every value, in order.
template <HasWords E>
constexpr auto all_values() {
  std::array<E, words_of<E>.size()> values{};
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = words_of<E>[i].value;
  return values;
}

/// All words, for an error message: "'immediate', 'orderly' or 'external'".
template <HasWords E>
std::string alternatives() {
  std::string text;
  const std::size_t count = words_of<E>.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += i + 1 == count ? " or " : ", ";
    text.append("'").append(words_of<E>[i].word).append("'");
  }
  return text;
}

}  // namespace handover

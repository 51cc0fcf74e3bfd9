// SPDX-License-Identifier: LGPL-2.1-or-later
// What a descriptor in systemd's fd store stands for: a session, or one of its tokens.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace handover {

struct Part {
  enum class Kind { session, token };

  Kind kind = Kind::session;
  std::uint64_t token = 0;  ///< 0 for the session

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 of <=> for a pointer
  auto operator<=>(const Part&) const = default;
};

inline constexpr Part session_part{};
constexpr Part token_part(std::uint64_t token) { return {Part::Kind::token, token}; }

/// "s", or "t" and the token.
std::string to_string(Part part);
/// nullopt for all that to_string() does not write.
std::optional<Part> part_from_string(std::string_view text);

}  // namespace handover

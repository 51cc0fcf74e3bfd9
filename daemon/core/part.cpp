// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/part.h"

#include <charconv>
#include <system_error>

namespace handover {

std::string to_string(Part part) {
  return part.kind == Part::Kind::session ? "s" : "t" + std::to_string(part.token);
}

std::optional<Part> part_from_string(std::string_view text) {
  if (text == "s") return session_part;
  if (!text.starts_with('t')) return std::nullopt;
  Part part = token_part(0);
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 1, end, part.token);
  if (error != std::errc() || stop != end || to_string(part) != text) return std::nullopt;
  return part;
}

}  // namespace handover

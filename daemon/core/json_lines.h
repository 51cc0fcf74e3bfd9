// SPDX-License-Identifier: LGPL-2.1-or-later
// On which line each field of a JSON text stands, and whether one is there twice.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace handover {

/// nlohmann::json keeps no positions and takes the last of two equal keys without a word; a person
/// who edits a file needs both told.
class JsonLines {
 public:
  /// `text` must be valid JSON; of other text this makes no sense, but no harm either.
  explicit JsonLines(std::string_view text);

  /// Of the key that a JSON pointer (RFC 6901) ends in; of elements of arrays, their array's.
  [[nodiscard]] std::optional<std::size_t> line_of(std::string_view pointer) const;
  /// The pointer of the first key that its object has already.
  [[nodiscard]] const std::optional<std::string>& repeated() const { return repeated_; }

 private:
  std::map<std::string, std::size_t, std::less<>> lines_;
  std::optional<std::string> repeated_;
};

}  // namespace handover

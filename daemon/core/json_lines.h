// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds the line of each field in a JSON text, and fields that are there twice.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace handover {

/// nlohmann::json keeps no positions, and silently takes the last of two equal keys. A person who
/// edits a file needs to know both.
class JsonLines {
 public:
  /// `text` should be valid JSON. For other text the results are meaningless, but safe.
  explicit JsonLines(std::string_view text);

  /// The line of the key that a JSON pointer (RFC 6901) ends in. For an array's element: the
  /// array's.
  [[nodiscard]] std::optional<std::size_t> line_of(std::string_view pointer) const;
  /// The pointer of the first key that its object has twice.
  [[nodiscard]] const std::optional<std::string>& repeated() const { return repeated_; }

 private:
  std::map<std::string, std::size_t, std::less<>> lines_;
  std::optional<std::string> repeated_;
};

}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
// Takes the known fields out of a JSON object, typed, and keeps the first thing wrong with them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace handover {

/// Where (a JSON pointer, RFC 6901: "/sessions/0/name") and what ("must be a string").
struct FieldError {
  std::string pointer;
  std::string message;
};

/// JSON from outside: no exception, and no nesting deep enough to exhaust the stack later (copying
/// and dumping a document recurse). The message has the line and column; `code` is the caller's.
Result<nlohmann::json> parse_json(std::string_view text, ErrorCode code);

/// The pointer of `name` below `parent`, escaped.
std::string child_pointer(const std::string& parent, std::string_view name);
std::string child_pointer(const std::string& parent, std::size_t index);

/// Each read takes a field away; what is left in the end is what this version does not know.
class FieldReader {
 public:
  FieldReader(nlohmann::json value, std::string pointer);

  /// Sets `out`, or leaves it and notes what is wrong.
  template <typename T>
  void required(std::string_view name, T& out) {
    if (auto value = take(name)) {
      convert(name, std::move(*value), out);
    } else {
      refuse(name, "is missing");
    }
  }
  /// Leaves `out` if the field is not there.
  template <typename T>
  void optional(std::string_view name, T& out) {
    if (auto value = take(name)) convert(name, std::move(*value), out);
  }

  std::optional<nlohmann::json> take(std::string_view name);
  void refuse(std::string_view name, std::string message);
  /// An error found below this object.
  void refuse(FieldError error);

  [[nodiscard]] std::string pointer(std::string_view name) const;
  [[nodiscard]] const std::optional<FieldError>& error() const { return error_; }
  /// The names asked for so far.
  [[nodiscard]] const std::set<std::string>& known() const { return known_; }
  /// The fields nobody asked for: always an object.
  [[nodiscard]] nlohmann::json rest() const { return object_; }

 private:
  void convert(std::string_view name, nlohmann::json value, std::string& out);
  void convert(std::string_view name, const nlohmann::json& value, bool& out);
  void convert(std::string_view name, const nlohmann::json& value, std::uint32_t& out);
  void convert(std::string_view name, const nlohmann::json& value, std::uint64_t& out);
  void convert(std::string_view name, const nlohmann::json& value,
               std::optional<std::uint64_t>& out);
  void convert(std::string_view name, nlohmann::json value, std::vector<std::string>& out);
  /// Any array, element by element as JSON.
  void convert(std::string_view name, nlohmann::json value, std::vector<nlohmann::json>& out);

  nlohmann::json object_;
  std::string pointer_;
  std::set<std::string> known_;
  std::optional<FieldError> error_;
};

}  // namespace handover

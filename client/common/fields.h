// SPDX-License-Identifier: LGPL-2.1-or-later
// Takes the known fields out of a JSON object, typed. Every refusal is one line that names the
// file and the field (a JSON pointer, RFC 6901: "/memory/0/size") and says what is allowed.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace handover::common {

/// One object. Each read takes a field away; the first thing wrong is kept, and later reads do
/// nothing.
class Fields {
 public:
  /// The whole document, in which comments are allowed; or the line in which it is no JSON.
  static client::Result<Fields> parse(std::string_view text, const std::string& file);

  /// False if the field is not there (noted as wrong if `required`) or not of that kind.
  bool take(std::string_view name, std::string& out, bool required = false);  ///< not empty
  bool take(std::string_view name, bool& out);
  bool take(std::string_view name, std::vector<std::string>& out);
  /// A number, or a string as "0x1000".
  bool take_address(std::string_view name, std::uint64_t& out, bool required = false);
  /// A number of bytes, or a string as "64M".
  bool take_size(std::string_view name, std::uint64_t& out, bool required = false);
  bool take_count(std::string_view name, std::uint64_t& out, std::uint64_t least,
                  std::uint64_t most);
  /// Seconds, whole or not, more than 0 and at most a day, as microseconds.
  bool take_seconds(std::string_view name, std::uint64_t& usec);
  /// An array of objects, each to be read by a Fields of its own.
  std::vector<Fields> take_objects(std::string_view name);
  std::optional<Fields> take_object(std::string_view name);

  void refuse(std::string_view name, const std::string& why);
  /// In the end: what went wrong here, or the first field that nobody asked for.
  client::Result<void> finish();

 private:
  Fields(nlohmann::json object, std::string file, std::string pointer);
  std::optional<nlohmann::json> get(std::string_view name, bool required, const char* kind,
                                    bool (*is)(const nlohmann::json&));
  [[nodiscard]] std::string pointer(std::string_view name) const;

  nlohmann::json object_;
  std::string file_;
  std::string pointer_;  ///< "": the document
  std::string known_;
  std::optional<client::Error> error_;
};

}  // namespace handover::common

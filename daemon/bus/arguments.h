// SPDX-License-Identifier: LGPL-2.1-or-later
// The arguments of a method call as typed values, each within its bounds: what is too long or not
// known is refused before anybody is asked whether the caller may. Errors are invalid_argument and
// invalid_name, and name the argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bus/sd_bus.h"
#include "core/error.h"
#include "core/words.h"

namespace handover::bus {

inline constexpr std::size_t most_text_bytes = 4096;
inline constexpr std::size_t most_path_bytes = 255;
inline constexpr std::size_t most_options = 16;

/// A text: at most `most_text_bytes`, UTF-8, no control character.
Result<std::string> read_text(sd_bus_message* message, const char* what);
/// An object path.
Result<std::string> read_path(sd_bus_message* message, const char* what);
/// What a session or client may be called (core/names.h).
Result<std::string> read_name(sd_bus_message* message);
/// At most so many names.
Result<std::vector<std::string>> read_names(sd_bus_message* message, const char* what,
                                            std::size_t most);
Result<std::uint64_t> read_number(sd_bus_message* message, const char* what);

/// The options of one call. Every one must be taken, by its name and type: a left-over is an error.
class Options {
 public:
  /// Reads `a{sv}` at the message's position. Values: b, t or u, s.
  static Result<Options> read(sd_bus_message* message);

  /// Leaves `into` alone if the option is absent.
  Result<void> take(const std::string& name, std::string& into);
  Result<void> take(const std::string& name, std::uint64_t& into);
  Result<void> take(const std::string& name, bool& into);
  /// The option "backend". no_such_backend names those that there are.
  Result<void> take_keeper(std::optional<Keeper>& into);
  [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
  /// Names what nobody took.
  [[nodiscard]] Result<void> finish() const;

 private:
  using Value = std::variant<bool, std::uint64_t, std::string>;
  static Result<Value> read_value(sd_bus_message* message, const std::string& name);
  template <typename T>
  Result<void> take_as(const std::string& name, T& into, const char* type);

  std::map<std::string, Value> values_;
};

}  // namespace handover::bus

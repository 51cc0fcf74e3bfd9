// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/arguments.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/names.h"
#include "core/text.h"

namespace handover::bus {

namespace {

tl::unexpected<Error> invalid(std::string sentence) {
  return fail(ErrorCode::invalid_argument, std::move(sentence));
}

/// The message's next string, of type 's' or 'o', without a copy of it if it is too long.
Result<std::string> read_bounded(sd_bus_message* message, char type, const std::string& what,
                                 std::size_t most) {
  const char* text = nullptr;
  // A bus throws out who sends a string that is not UTF-8; a peer of the private socket can.
  if (sd_bus_message_read_basic(message, type, &text) <= 0) {
    return invalid("The " + what + " cannot be read; D-Bus strings are UTF-8.");
  }
  const auto size = strnlen(text, most + 1);
  if (size > most) {
    return invalid("The " + what + " is too long; at most " + std::to_string(most) +
                   " bytes are allowed.");
  }
  return std::string(text, size);
}

Result<void> check_text(std::string_view text, const std::string& what) {
  while (!text.empty()) {
    if (starts_with_control(text)) {
      return invalid("The " + what + " has a control character, which is not allowed.");
    }
    const auto length = utf8_sequence_length(text);
    if (length == 0) return invalid("The " + what + " is not UTF-8.");
    text.remove_prefix(length);
  }
  return {};
}

}  // namespace

Result<std::string> read_text(sd_bus_message* message, const char* what) {
  auto text = read_bounded(message, 's', what, most_text_bytes);
  if (!text) return text;
  if (auto checked = check_text(*text, what); !checked) return fail(checked.error());
  return text;
}

Result<std::string> read_path(sd_bus_message* message, const char* what) {
  return read_bounded(message, 'o', what, most_path_bytes);
}

Result<std::string> read_name(sd_bus_message* message) {
  const char* name = nullptr;
  if (sd_bus_message_read_basic(message, 's', &name) <= 0) {
    return fail(ErrorCode::invalid_name, "the name is not UTF-8; give 1 to 63 bytes of UTF-8");
  }
  if (auto checked = check_name(name); !checked) return fail(checked.error());
  return std::string(name);
}

Result<std::vector<std::string>> read_names(sd_bus_message* message, const char* what,
                                            std::size_t most) {
  std::vector<std::string> names;
  if (sd_bus_message_enter_container(message, 'a', "s") < 0) {
    return invalid("The " + std::string(what) + " cannot be read.");
  }
  while (sd_bus_message_at_end(message, 0) == 0) {
    if (names.size() == most) {
      return invalid("The " + std::string(what) + " are too many; at most " + std::to_string(most) +
                     " are allowed.");
    }
    auto name = read_name(message);
    if (!name) return fail(name.error());
    names.push_back(std::move(*name));
  }
  if (sd_bus_message_exit_container(message) < 0) {
    return invalid("The " + std::string(what) + " cannot be read.");
  }
  return names;
}

Result<std::uint64_t> read_number(sd_bus_message* message, const char* what) {
  std::uint64_t number = 0;
  if (sd_bus_message_read_basic(message, 't', &number) <= 0) {
    return invalid("The " + std::string(what) + " cannot be read.");
  }
  return number;
}

Result<Options::Value> Options::read_value(sd_bus_message* message, const std::string& name) {
  const char* contents = nullptr;
  const auto unreadable = invalid("Option '" + name + "' cannot be read.");
  if (sd_bus_message_peek_type(message, nullptr, &contents) <= 0) return unreadable;
  const std::string type = contents;
  Value value;
  if (sd_bus_message_enter_container(message, 'v', contents) < 0) return unreadable;
  if (type == "s") {
    auto text = read_text(message, ("option '" + name + "'").c_str());
    if (!text) return fail(text.error());
    value = std::move(*text);
  } else if (type == "b") {
    int flag = 0;
    if (sd_bus_message_read_basic(message, 'b', &flag) <= 0) return unreadable;
    value = flag != 0;
  } else if (type == "t") {
    std::uint64_t number = 0;
    if (sd_bus_message_read_basic(message, 't', &number) <= 0) return unreadable;
    value = number;
  } else if (type == "u") {
    std::uint32_t number = 0;
    if (sd_bus_message_read_basic(message, 'u', &number) <= 0) return unreadable;
    value = std::uint64_t{number};
  } else {
    return invalid("Option '" + name + "' has type '" + printable(type) +
                   "'; options are b, t, u or s.");
  }
  if (sd_bus_message_exit_container(message) < 0) return unreadable;
  return value;
}

Result<Options> Options::read(sd_bus_message* message) {
  Options options;
  const auto unreadable = invalid("The options cannot be read.");
  if (sd_bus_message_enter_container(message, 'a', "{sv}") < 0) return unreadable;
  while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
    if (options.values_.size() == most_options) {
      return invalid("There are too many options; no call knows more than " +
                     std::to_string(most_options) + ".");
    }
    auto name = read_bounded(message, 's', "name of an option", max_name_bytes);
    if (!name) return fail(name.error());
    auto value = read_value(message, printable(*name));
    if (!value) return fail(value.error());
    if (sd_bus_message_exit_container(message) < 0) return unreadable;
    if (!options.values_.emplace(*name, std::move(*value)).second) {
      return invalid("Option '" + printable(*name) + "' is given twice.");
    }
  }
  if (sd_bus_message_exit_container(message) < 0) return unreadable;
  return options;
}

template <typename T>
Result<void> Options::take_as(const std::string& name, T& into, const char* type) {
  const auto it = values_.find(name);
  if (it == values_.end()) return {};
  auto* value = std::get_if<T>(&it->second);
  if (value == nullptr) return invalid("Option '" + name + "' must be of type " + type + ".");
  into = std::move(*value);
  values_.erase(it);
  return {};
}

Result<void> Options::take(const std::string& name, std::string& into) {
  return take_as(name, into, "s");
}
Result<void> Options::take(const std::string& name, std::uint64_t& into) {
  return take_as(name, into, "t");
}
Result<void> Options::take(const std::string& name, bool& into) { return take_as(name, into, "b"); }

Result<void> Options::take_keeper(std::optional<Keeper>& into) {
  std::string word;
  if (auto taken = take("backend", word); !taken || word.empty()) return taken;
  into = from_string<Keeper>(word);
  if (into) return {};
  return fail(ErrorCode::no_such_backend,
              "There is no backend " + in_quotes(word) + "; it is " + alternatives<Keeper>() + ".");
}

Result<void> Options::finish() const {
  if (values_.empty()) return {};
  return invalid("There is no option '" + printable(values_.begin()->first) + "'.");
}

}  // namespace handover::bus

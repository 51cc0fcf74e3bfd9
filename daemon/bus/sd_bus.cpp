// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/sd_bus.h"

#include <cerrno>
#include <utility>

namespace handover::bus {

Result<void> check(int result, const char* what) {
  if (result >= 0) return {};
  return fail_errno(what, -result);
}

Result<std::string> read_name(sd_bus_message* message) {
  const char* name = nullptr;
  const int result = sd_bus_message_read_basic(message, 's', &name);
  if (result == -EBADMSG) {
    return fail(ErrorCode::invalid_name, "the name is not UTF-8; give 1 to 63 bytes of UTF-8");
  }
  if (auto read = check(result, "name"); !read) return fail(read.error());
  return std::string(name);
}

std::string error_name_of(const Error& error) {
  return "org.handover1.Error." + std::string(error_name(error.code));
}

int reply_error(sd_bus_error* into, const Error& error) {
  return sd_bus_error_set(into, error_name_of(error).c_str(), error.message.c_str());
}

void reply_error(sd_bus_message* to, const Error& error) {
  sd_bus_reply_method_errorf(to, error_name_of(error).c_str(), "%s", error.message.c_str());
}

Result<Options> Options::read(sd_bus_message* message) {
  Options options;
  const auto unreadable = fail(ErrorCode::invalid_argument, "The options cannot be read.");
  if (sd_bus_message_enter_container(message, 'a', "{sv}") < 0) return unreadable;
  while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
    const char* name = nullptr;
    const char* contents = nullptr;
    if (sd_bus_message_read_basic(message, 's', &name) < 0 ||
        sd_bus_message_peek_type(message, nullptr, &contents) < 0) {
      return unreadable;
    }
    const std::string type = contents;
    if (sd_bus_message_enter_container(message, 'v', contents) < 0) return unreadable;
    int read = 0;
    if (type == "s") {
      const char* text = nullptr;
      read = sd_bus_message_read_basic(message, 's', &text);
      if (read > 0) options.values_[name] = std::string(text);
    } else if (type == "b") {
      int flag = 0;
      read = sd_bus_message_read_basic(message, 'b', &flag);
      options.values_[name] = flag != 0;
    } else if (type == "t") {
      std::uint64_t number = 0;
      read = sd_bus_message_read_basic(message, 't', &number);
      options.values_[name] = number;
    } else if (type == "u") {
      std::uint32_t number = 0;
      read = sd_bus_message_read_basic(message, 'u', &number);
      options.values_[name] = std::uint64_t{number};
    } else {
      return fail(ErrorCode::invalid_argument, "Option '" + std::string(name) + "' has type '" +
                                                   type + "'; options are b, t, u or s.");
    }
    if (read < 0 || sd_bus_message_exit_container(message) < 0 ||
        sd_bus_message_exit_container(message) < 0) {
      return unreadable;
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
  if (value == nullptr) {
    return fail(ErrorCode::invalid_argument, "Option '" + name + "' must be of type " + type + ".");
  }
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

Result<void> Options::finish() const {
  if (values_.empty()) return {};
  return fail(ErrorCode::invalid_argument, "There is no option '" + values_.begin()->first + "'.");
}

}  // namespace handover::bus

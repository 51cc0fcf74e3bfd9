// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/sd_bus.h"

#include <cerrno>
#include <string_view>
#include <utility>

#include "core/error_name.h"

namespace handover::bus {

namespace {

/// Adds what is at the message's position, up to the end of the container. False: unreadable, or
/// `bytes` is above `most`.
bool add_content(sd_bus_message* message, std::size_t most, std::size_t& bytes) {
  for (;;) {
    char type = 0;
    const char* contents = nullptr;
    const int peeked = sd_bus_message_peek_type(message, &type, &contents);
    if (peeked <= 0) return peeked == 0;
    int result = 0;
    const void* data = nullptr;
    std::size_t size = 8;
    constexpr std::string_view texts = "sog";
    constexpr std::string_view numbers = "ynqiuxtd";
    if (type == 'a' && contents[1] == '\0' && numbers.find(contents[0]) != numbers.npos) {
      result = sd_bus_message_read_array(message, contents[0], &data, &size);
    } else if (texts.find(type) != texts.npos) {
      const char* text = nullptr;
      result = sd_bus_message_read_basic(message, type, &text);
      if (result > 0) size = std::char_traits<char>::length(text);
    } else if (type == 'a' || type == 'v' || type == 'r' || type == 'e') {
      result = sd_bus_message_enter_container(message, type, contents);
      if (result < 0 || !add_content(message, most, bytes)) return false;
      result = sd_bus_message_exit_container(message);
    } else {
      std::uint64_t number = 0;
      result = sd_bus_message_read_basic(message, type, &number);
    }
    bytes += size;
    if (result < 0 || bytes > most) return false;
  }
}

}  // namespace

bool will_pass(const Error& error) {
  return error.sys_errno == EMFILE || error.sys_errno == ENFILE || error.sys_errno == ENOMEM;
}

std::optional<std::size_t> content_bytes(sd_bus_message* message, std::size_t most) {
  std::size_t bytes = 0;
  const bool read = add_content(message, most, bytes);
  if (sd_bus_message_rewind(message, 1) < 0 || !read) return std::nullopt;
  return bytes;
}

int reply_internal(sd_bus_error* into) noexcept {
  if (into == nullptr) return 0;
  try {
    return reply_error(into, Error{ErrorCode::internal,
                                   "A bug in handoverd ended this call; the journal says more."});
  } catch (...) {  // no memory for the sentence either
    return -ENOMEM;
  }
}

Result<void> check(int result, const char* what) {
  if (result >= 0) return {};
  return fail_errno(what, -result);
}

namespace {

using Then = std::function<void(sd_bus_message*)>;

int on_called(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  (*static_cast<Then*>(userdata))(reply);
  return 1;
}

}  // namespace

int call_then(sd_bus_message* call, std::uint64_t limit_usec, Then then) {
  auto kept = std::make_unique<Then>(std::move(then));
  sd_bus_slot* slot = nullptr;
  const int result =
      sd_bus_call_async(nullptr, &slot, call, safe<on_called>, kept.get(), limit_usec);
  if (result < 0) return result;
  sd_bus_slot_set_destroy_callback(slot, [](void* userdata) {
    const std::unique_ptr<Then> owned(static_cast<Then*>(userdata));
  });
  [[maybe_unused]] auto* const owned_by_slot = kept.release();
  // sd-bus keeps it until it was called.
  sd_bus_slot_set_floating(slot, 1);
  sd_bus_slot_unref(slot);
  return 0;
}

std::string error_name_of(const Error& error) { return dbus_name(error.code); }

int reply_error(sd_bus_error* into, const Error& error) {
  return sd_bus_error_set(into, error_name_of(error).c_str(), error.message.c_str());
}

void reply_error(sd_bus_message* to, const Error& error) {
  sd_bus_reply_method_errorf(to, error_name_of(error).c_str(), "%s", error.message.c_str());
}

}  // namespace handover::bus

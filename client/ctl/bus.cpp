// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus.h"

#include <cerrno>
#include <cstring>
#include <string_view>

namespace handover::ctl {
namespace {

/// One variant; *known is false if its type is none of ours.
int read_value(sd_bus_message* message, Value* ret, bool* known) {
  char type = 0;
  const char* contents = nullptr;
  int r = sd_bus_message_peek_type(message, &type, &contents);
  if (r < 0) return r;
  const std::string_view signature = contents ? contents : "";
  *known = true;
  if (signature == "b") {
    int value = 0;
    r = sd_bus_message_read(message, "v", "b", &value);
    *ret = value != 0;
  } else if (signature == "u") {
    std::uint32_t value = 0;
    r = sd_bus_message_read(message, "v", "u", &value);
    *ret = std::uint64_t{value};
  } else if (signature == "t") {
    std::uint64_t value = 0;
    r = sd_bus_message_read(message, "v", "t", &value);
    *ret = value;
  } else if (signature == "s" || signature == "o") {
    const char* value = "";
    r = sd_bus_message_read(message, "v", contents, &value);
    *ret = std::string(value);
  } else if (signature == "as") {
    std::vector<std::string> values;
    r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, "as");
    if (r >= 0) r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "s");
    const char* value = nullptr;
    while (r >= 0 && (r = sd_bus_message_read_basic(message, 's', &value)) > 0) {
      values.emplace_back(value);
    }
    if (r >= 0) r = sd_bus_message_exit_container(message);
    if (r >= 0) r = sd_bus_message_exit_container(message);
    *ret = std::move(values);
  } else {
    *known = false;
    r = sd_bus_message_skip(message, "v");
  }
  return r;
}

}  // namespace

int read_properties(sd_bus_message* message, Properties* ret) {
  int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sv}");
  if (r < 0) return r;
  while ((r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
    const char* name = nullptr;
    r = sd_bus_message_read(message, "s", &name);
    if (r < 0) return r;
    Value value;
    bool known = false;
    r = read_value(message, &value, &known);
    if (r < 0) return r;
    if (known) (*ret)[name] = std::move(value);
    r = sd_bus_message_exit_container(message);
    if (r < 0) return r;
  }
  if (r < 0) return r;
  return sd_bus_message_exit_container(message);
}

client::Error bus_error(int result, const sd_bus_error* error) {
  if (error && sd_bus_error_is_set(error)) {
    return {error->name, error->message && *error->message ? error->message : error->name,
            result < 0 ? -result : EIO};
  }
  const bool gone = result == -ENOTCONN || result == -ECONNRESET || result == -EPIPE;
  return {gone ? SD_BUS_ERROR_DISCONNECTED : SD_BUS_ERROR_FAILED,
          std::string("Calling handoverd: ") +
              strerror(-result),  // NOLINT(concurrency-mt-unsafe): one thread
          -result};
}

}  // namespace handover::ctl

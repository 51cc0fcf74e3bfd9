// SPDX-License-Identifier: LGPL-2.1-or-later
#include "error.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace handover::client {
namespace {

/// The D-Bus name for what went wrong on this side of the connection.
std::string_view local_name(int code) {
  switch (code) {
    case ENOTCONN:
    case ECONNRESET:
    case EPIPE:
      return SD_BUS_ERROR_DISCONNECTED;
    case ETIMEDOUT:
      return SD_BUS_ERROR_TIMEOUT;
    case ENOENT:
    case ECONNREFUSED:
      return SD_BUS_ERROR_NO_SERVER;
    case EACCES:
    case EPERM:
      return SD_BUS_ERROR_ACCESS_DENIED;
    case EINVAL:
    case EBADF:
      return SD_BUS_ERROR_INVALID_ARGS;
    case ENOMEM:
      return SD_BUS_ERROR_NO_MEMORY;
    default:
      return SD_BUS_ERROR_FAILED;
  }
}

}  // namespace

int report(handover_error** error, int code, std::string_view name, std::string_view message) {
  if (error) {
    auto* const made = new handover_error{std::string(name), std::string(message), code};
    handover_error_free(*error);  // after: the new one may be made of what the old one says
    *error = made;
  }
  return -code;
}

int report_errno(handover_error** error, int result, std::string_view what) {
  const int code = -result;
  std::string message(what);
  message += ": ";
  message += strerror(code);  // NOLINT(concurrency-mt-unsafe): glibc's is thread-safe
  return report(error, code, local_name(code), message);
}

int report_invalid(handover_error** error, std::string_view function) {
  return report(error, EINVAL, local_name(EINVAL),
                std::string(function) +
                    "(): an argument is NULL or malformed; see its comment in handover.h.");
}

int report_bus(handover_error** error, int result, const sd_bus_error& bus_error,
               const CallLimit& limit) {
  if (!sd_bus_error_is_set(&bus_error)) return report_errno(error, result, "Calling handoverd");
  int code = result < 0 ? -result : EIO;
  // NoReply, in sd-bus's table ETIMEDOUT, is also what a bus and sd-bus say when the daemon went.
  if (sd_bus_error_has_name(&bus_error, SD_BUS_ERROR_NO_REPLY) > 0 && !limit.is_over()) {
    code = ECONNRESET;
  }
  if (!bus_error.message || !*bus_error.message) {
    return report(error, code, bus_error.name, bus_error.name);
  }
  return report(error, code, bus_error.name, bus_error.message);
}

void OwnError::move_to(handover_error** error) {
  if (!error) return;
  handover_error_free(*error);
  *error = std::exchange(value_, nullptr);
}

}  // namespace handover::client

const char* handover_error_name(const handover_error* error) {
  return error ? error->name.c_str() : "";
}
const char* handover_error_message(const handover_error* error) {
  return error ? error->message.c_str() : "";
}
int handover_error_errno(const handover_error* error) { return error ? error->code : 0; }

handover_error* handover_error_free(handover_error* error) {
  delete error;
  return nullptr;
}

int handover_error_is(const handover_error* error, const char* name) {
  if (!error || !name) return 0;
  const std::string_view full(error->name);
  constexpr std::string_view prefix = HANDOVER_ERROR_PREFIX;
  return full == name ||
         (full.substr(0, prefix.size()) == prefix && full.substr(prefix.size()) == name);
}

unsigned handover_version() { return HANDOVER_VERSION_NUMBER; }

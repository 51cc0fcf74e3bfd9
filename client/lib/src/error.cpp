// SPDX-License-Identifier: LGPL-2.1-or-later
#include "error.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace handover::client {
namespace {

char* copy(std::string_view text) {
  return strndup(text.data(), text.size());  // NULL if there is no memory: the code remains
}

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

int report(handover_error* error, int code, std::string_view name, std::string_view message) {
  if (error) {
    handover_error_free(error);
    error->name = copy(name);
    error->message = copy(message);
    error->code = code;
  }
  return -code;
}

int report_errno(handover_error* error, int result, std::string_view what) {
  const int code = -result;
  std::string message(what);
  message += ": ";
  message += strerror(code);  // NOLINT(concurrency-mt-unsafe): glibc's is thread-safe
  return report(error, code, local_name(code), message);
}

int report_bus(handover_error* error, int result, const sd_bus_error& bus_error) {
  if (!sd_bus_error_is_set(&bus_error)) return report_errno(error, result, "Calling handoverd");
  const int code = result < 0 ? -result : EIO;
  if (!bus_error.message || !*bus_error.message) {
    return report(error, code, bus_error.name, bus_error.name);
  }
  return report(error, code, bus_error.name, bus_error.message);
}

}  // namespace handover::client

void handover_error_free(handover_error* error) {
  if (!error) return;
  free(error->name);
  free(error->message);
  *error = handover_error HANDOVER_ERROR_NULL;
}

int handover_error_is(const handover_error* error, const char* name) {
  if (!error || !error->name || !name) return 0;
  if (strcmp(error->name, name) == 0) return 1;
  const size_t prefix = strlen(HANDOVER_ERROR_PREFIX);
  return strncmp(error->name, HANDOVER_ERROR_PREFIX, prefix) == 0 &&
         strcmp(error->name + prefix, name) == 0;
}

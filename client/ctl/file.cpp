// SPDX-License-Identifier: LGPL-2.1-or-later
#include "file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace handover::ctl {

client::Error system_error(const std::string& what) {
  return {HANDOVER_ERROR_PREFIX "Io",
          what + ": " + strerror(errno),  // NOLINT(concurrency-mt-unsafe): one thread
          errno};
}

client::Result<void> write_all(int fd, const char* data, std::size_t size,
                               const std::string& where) {
  while (size > 0) {
    const ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("Cannot write to " + where);
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
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

bool can_be_executed(const std::string& command) {
  const auto runs = [](const std::string& path) { return access(path.c_str(), X_OK) == 0; };
  if (command.find('/') != std::string::npos) return runs(command);
  const char* path = getenv("PATH");  // NOLINT(concurrency-mt-unsafe): one thread
  std::string rest = path ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    if (runs(rest.substr(0, colon) + "/" + command)) return true;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return false;
}

}  // namespace handover::ctl

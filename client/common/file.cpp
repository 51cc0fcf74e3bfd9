// SPDX-License-Identifier: LGPL-2.1-or-later
#include "file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace handover::common {

client::Error errno_error(const std::string& what) { return errno_error(what, errno); }

client::Error errno_error(const std::string& what, int code) {
  return {"", what + ": " + strerror(code), code};  // NOLINT(concurrency-mt-unsafe): one thread
}

client::Result<std::string> read_file(const std::string& path) {
  const client::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error("Cannot open " + path);
  std::string text;
  std::array<char, 4096> buffer = {};
  for (;;) {
    const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("Cannot read " + path);
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace handover::common

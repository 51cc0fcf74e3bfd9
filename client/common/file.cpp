// SPDX-License-Identifier: LGPL-2.1-or-later
#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
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

client::Result<void> replace_file(const std::string& path, const std::string& text,
                                  Durable durable) {
  const auto refused = [&] { return errno_error("Cannot write " + path); };
  const auto staged = path + ".new";
  const client::Fd file(open(staged.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return refused();
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(file.get(), text.data() + done, text.size() - done);
    if (n < 0) return refused();
    done += static_cast<std::size_t>(n);
  }
  if (durable == Durable::yes && fsync(file.get()) < 0) return refused();
  if (rename(staged.c_str(), path.c_str()) < 0) return refused();
  if (durable == Durable::no) return {};
  const auto parent = path.substr(0, path.rfind('/') + 1);
  const client::Fd directory(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || fsync(directory.get()) < 0) return refused();
  return {};
}

}  // namespace handover::common

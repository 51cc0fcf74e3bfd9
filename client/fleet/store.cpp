// SPDX-License-Identifier: LGPL-2.1-or-later
#include "store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "common/file.h"

namespace handover::fleet {
namespace {

std::string directory_from(const char* variable, const char* otherwise) {
  const char* given = getenv(variable);  // NOLINT(concurrency-mt-unsafe): one thread
  const std::string all = given ? given : otherwise;
  return all.substr(0, all.find(':'));
}

}  // namespace

client::Result<void> replace_file(const std::string& path, const std::string& text,
                                  Durable durable) {
  const auto refused = [&] { return common::errno_error("Cannot write " + path); };
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

std::string state_directory() {
  return directory_from("STATE_DIRECTORY", "/var/lib/handover/fleet");
}

std::string runtime_directory() {
  return directory_from("RUNTIME_DIRECTORY", "/run/handover-fleet");
}

}  // namespace handover::fleet

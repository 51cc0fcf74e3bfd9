// SPDX-License-Identifier: LGPL-2.1-or-later
#include "output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include "file.h"

namespace handover::ctl {
namespace {

/// The name of an open descriptor, "/dev/stdout" say: what it is open on cannot be replaced.
bool names_descriptor(const std::string& path) {
  for (const std::string prefix : {"/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/"}) {
    if (path.compare(0, prefix.size(), prefix) == 0) return true;
  }
  return false;
}

/// "/a/.b.ENDING" for "/a/b": in the same file system, so that it can be renamed.
std::string beside(const std::string& path, const std::string& ending) {
  const std::filesystem::path whole(path);
  return (whole.parent_path() / ("." + whole.filename().string() + "." + ending)).string();
}

/// As which linkat(2) finds a file that has no name.
std::string name_of_descriptor(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

/// Rights and owner of the file that is replaced. Only root can give a file away.
client::Result<void> take_after(int fd, const std::string& path) {
  struct stat old = {};
  if (stat(path.c_str(), &old) < 0) return system_error("Cannot look at " + path);
  if (fchown(fd, old.st_uid, old.st_gid) < 0 && errno != EPERM) {
    return system_error("Cannot give " + path + " its owner");
  }
  if (fchmod(fd, old.st_mode & 0777U) < 0) return system_error("Cannot set the mode of " + path);
  return {};
}

}  // namespace

Output::Output(Output&& other) noexcept
    : fd_(std::move(other.fd_)),
      name_(std::move(other.name_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      existed_(other.existed_) {}

Output::~Output() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

client::Result<Output> Output::open(const std::string& path, std::uint64_t bytes) {
  Output output;
  output.name_ = path.empty() ? "standard output" : path;
  struct stat found = {};
  const bool exists = !path.empty() && stat(path.c_str(), &found) == 0;
  const bool replaced =
      !path.empty() && !names_descriptor(path) && (!exists || S_ISREG(found.st_mode));
  if (path.empty()) {
    output.fd_.reset(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  } else if (exists || !replaced) {
    // Also what is to be replaced: who may not write to it may not do that either.
    output.fd_.reset(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  }
  if (!output.fd_ && (exists || !replaced)) return system_error("Cannot write to " + output.name_);
  if (replaced) return replacing(path, exists, bytes);
  return output;
}

client::Result<Output> Output::replacing(const std::string& path, bool exists,
                                         std::uint64_t bytes) {
  Output output;
  output.name_ = path;
  output.target_ = path;
  output.existed_ = exists;
  if (exists) {  // a link stays one
    std::error_code unresolved;
    const auto resolved = std::filesystem::canonical(path, unresolved);
    if (!unresolved) output.target_ = resolved.string();
  }
  if (!output.make_beside()) return system_error("Cannot make a file beside " + path);
  if (exists) {
    if (auto taken = take_after(output.fd_.get(), output.target_); !taken) return taken.error();
  }
  // Not every file system can, and then there is nothing to learn from it.
  if (bytes > 0 && fallocate(output.fd_.get(), 0, 0, static_cast<off_t>(bytes)) < 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR) {
    return system_error("There is no room for " + path);
  }
  return output;
}

/// The file that is to take the target's place, if it can without a name. False with errno set.
bool Output::make_beside() {
  auto directory = std::filesystem::path(target_).parent_path();
  if (directory.empty()) directory = ".";
  fd_.reset(::open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  // Without /proc it could never get one, and that would be seen too late.
  if (fd_ && access(name_of_descriptor(fd_.get()).c_str(), F_OK) == 0) return true;
  std::string temporary = beside(target_, "XXXXXX");
  fd_.reset(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd_) return false;
  temporary_ = std::move(temporary);
  return true;
}

/// Gives it a name, for the instant before it is renamed: linkat(2) replaces nothing. False with
/// errno set.
bool Output::name_beside() {
  constexpr int most_attempts = 100;
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    std::string name = beside(target_, std::to_string(getpid()) + "-" + std::to_string(attempt));
    if (linkat(AT_FDCWD, name_of_descriptor(fd_.get()).c_str(), AT_FDCWD, name.c_str(),
               AT_SYMLINK_FOLLOW) == 0) {
      temporary_ = std::move(name);
      return true;
    }
    if (errno != EEXIST) return false;  // one that was killed in that instant has left it
  }
  return false;
}

client::Result<std::uint64_t> Output::copy_from(int fd) {
  std::vector<char> buffer(chunk_bytes);
  std::uint64_t done = 0;
  for (;;) {
    const ssize_t n = pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("Cannot read what was retrieved");
    if (n == 0) return done;
    auto written = write_all(fd_.get(), buffer.data(), static_cast<std::size_t>(n), name_);
    if (!written) return written.error();
    done += static_cast<std::uint64_t>(n);
  }
}

client::Result<void> Output::write(const std::string& text) {
  return write_all(fd_.get(), text.data(), text.size(), name_);
}

client::Result<void> Output::share() {
  constexpr mode_t for_everybody = 0644;
  if (target_.empty() || existed_) return {};
  if (fchmod(fd_.get(), for_everybody) < 0) return system_error("Cannot set the mode of " + name_);
  return {};
}

client::Result<void> Output::commit() {
  if (target_.empty()) return {};
  // Room may have been set aside for more than came.
  if (ftruncate(fd_.get(), lseek(fd_.get(), 0, SEEK_CUR)) < 0 || fsync(fd_.get()) < 0) {
    return system_error("Cannot write to " + name_);
  }
  if (temporary_.empty() && !name_beside()) {
    return system_error("Cannot make a file beside " + name_);
  }
  const std::string temporary = std::exchange(temporary_, {});
  if (rename(temporary.c_str(), target_.c_str()) < 0) {
    // All of it is there, and may not be had again.
    return system_error("The contents are in " + temporary + " and cannot take the place of " +
                        name_);
  }
  return {};
}

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "system/disk.h"

namespace handover::system {
namespace {

Result<void> write_all(int fd, std::string_view text, const std::string& what) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return fail_errno("cannot write " + what);
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

/// The temporary file of replace_file(): gone unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& beside) : path_(beside + ".XXXXXX") {
    fd_.reset(::mkostemp(path_.data(), O_CLOEXEC));  // mode 0600 (mkostemp(3))
  }
  ~TemporaryFile() {
    if (fd_ && !renamed_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  Result<void> rename_to(const std::string& path) {
    if (::rename(path_.c_str(), path.c_str()) < 0) return fail_errno("cannot replace " + path);
    renamed_ = true;
    return {};
  }

 private:
  std::string path_;
  UniqueFd fd_;
  bool renamed_ = false;
};

}  // namespace

Result<std::string> read_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open " + path);
  std::string text;
  struct stat status = {};
  if (::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    text.reserve(static_cast<std::size_t>(status.st_size));
  }
  // Files of /proc and /sys tell no size: read to the end, whatever fstat() said.
  char chunk[16384];
  for (;;) {
    const ssize_t got = ::read(fd.get(), chunk, sizeof(chunk));
    if (got < 0) {
      if (errno == EINTR) continue;
      return fail_errno("cannot read " + path);
    }
    if (got == 0) return text;
    text.append(chunk, static_cast<std::size_t>(got));
  }
}

Result<void> replace_file(const std::string& path, std::string_view text, bool durable) {
  if (durable) return replace_on_disk(path, text);
  TemporaryFile temporary(path);
  if (temporary.fd() < 0) return fail_errno("cannot create a file beside " + path);
  if (auto written = write_all(temporary.fd(), text, temporary.path()); !written) return written;
  return temporary.rename_to(path);
}

Result<void> remove_file(const std::string& path) { return remove_from_disk(path); }

Result<UniqueFd> memfd_with(const std::string& name, std::string_view text) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("cannot create the memfd " + name);
  if (auto written = write_all(fd.get(), text, "the memfd " + name); !written) {
    return fail(written.error());
  }
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) return fail_errno("cannot rewind the memfd " + name);
  return fd;
}

Result<UniqueFd> sealed_file(const std::string& name, const std::vector<std::string_view>& pieces) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("cannot create the memfd " + name);
  constexpr std::string_view zeros("\0\0\0", 3);
  std::size_t size = 0;
  for (const std::string_view piece : pieces) {
    const auto gap = zeros.substr(0, (4 - size % 4) % 4);
    for (const std::string_view bytes : {gap, piece}) {
      if (auto written = write_all(fd.get(), bytes, "the memfd " + name); !written) {
        return fail(written.error());
      }
    }
    size += gap.size() + piece.size();
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) <
      0) {
    return fail_errno("cannot seal the memfd " + name);
  }
  const auto path = "/proc/self/fd/" + std::to_string(fd.get());
  UniqueFd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader) return fail_errno("cannot open the memfd " + name + " again");
  return reader;
}

Result<std::string> read_fd(int fd, std::uint64_t limit) {
  std::string text;
  // An initrd is large: no copies while it grows.
  struct stat status = {};
  if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    text.reserve(std::min<std::uint64_t>(static_cast<std::uint64_t>(status.st_size), limit));
  }
  char chunk[16384];
  while (text.size() < limit) {
    const std::size_t wanted = std::min<std::uint64_t>(sizeof(chunk), limit - text.size());
    const ssize_t got = ::pread(fd, chunk, wanted, static_cast<off_t>(text.size()));
    if (got < 0) {
      if (errno == EINTR) continue;
      return fail_errno("cannot read descriptor " + std::to_string(fd));
    }
    if (got == 0) break;
    text.append(chunk, static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace handover::system

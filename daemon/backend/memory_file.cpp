// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/memory_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace handover::backend {

Result<UniqueFd> make_memory_file(const std::string& name, std::uint64_t size) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) < 0) {
    return fail_errno("cannot make the memfd " + name);
  }
  return fd;
}

Result<void> write_memory_file(int fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("cannot write to a memfd");
    bytes.remove_prefix(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Result<std::string> read_memory_file(int fd) {
  struct stat status = {};
  if (::fstat(fd, &status) < 0) return fail_errno("cannot tell the size of a memfd");
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::io, "a descriptor that should be a memfd is none");
  }
  std::string contents(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < contents.size()) {
    const ssize_t got =
        ::pread(fd, contents.data() + done, contents.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("cannot read a memfd");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  contents.resize(done);
  return contents;
}

}  // namespace handover::backend

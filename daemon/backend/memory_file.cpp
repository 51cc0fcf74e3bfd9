// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/memory_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace handover::backend {

Result<UniqueFd> make_memory_file(const std::string& name, std::uint64_t size) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) < 0) {
    return fail_errno("cannot make the memfd " + name);
  }
  return fd;
}

Result<void> write_memory_file(int fd, std::string_view text) {
  const auto size = memory_file_size(fd);
  if (!size) return fail(size.error());
  if (text.size() > *size) {
    return fail(
        ErrorCode::invalid_argument,
        std::to_string(text.size()) + " bytes do not fit in a memfd of " + std::to_string(*size));
  }
  std::string whole(text);
  whole.resize(*size, '\0');
  std::size_t done = 0;
  while (done < whole.size()) {
    const ssize_t written =
        ::pwrite(fd, whole.data() + done, whole.size() - done, static_cast<off_t>(done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("cannot write to a memfd");
    done += static_cast<std::size_t>(written);
  }
  return {};
}

Result<std::string> read_memory_file(int fd) {
  const auto size = memory_file_size(fd);
  if (!size) return fail(size.error());
  std::string text(*size, '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got =
        ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("cannot read a memfd");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  const std::size_t last = text.find_last_not_of('\0');
  text.resize(last == std::string::npos ? 0 : last + 1);
  return text;
}

Result<std::uint64_t> memory_file_size(int fd) {
  struct stat status = {};
  if (::fstat(fd, &status) < 0) return fail_errno("cannot tell the size of a memfd");
  if (!S_ISREG(status.st_mode))
    return fail(ErrorCode::io, "a descriptor that should be a memfd is none");
  return static_cast<std::uint64_t>(status.st_size);
}

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/descriptor.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034  // include/uapi/linux/fcntl.h
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace handover::backend {
namespace {

tl::unexpected<Error> bad_descriptor(int fd, int sys_errno) {
  return fail_errno("descriptor " + std::to_string(fd) + " cannot be used", sys_errno,
                    ErrorCode::invalid_argument);
}

/// "anon_inode:[eventfd]" → "an eventfd"; "" if it is none.
std::string anonymous_inode(int fd) {
  char target[256];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), target, sizeof(target));
  constexpr std::string_view prefix = "anon_inode:";
  if (length < 0) return "";
  std::string_view name(target, static_cast<std::size_t>(length));
  if (!name.starts_with(prefix)) return "";
  name.remove_prefix(prefix.size());
  return "an anonymous inode of type " + std::string(name);
}

/// Below this, filled holes cost nothing that matters.
constexpr std::uint64_t smallest_hole = UINT64_C(2) << 20;

/// An eighth of it is holes, at least. The blocks in swap count as there (i_blocks of shmem). A
/// file with no page at all is one that will be filled, not one with holes.
bool has_holes(const struct stat& status) {
  constexpr std::uint64_t block = 512;  // stat(2)
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const auto there = static_cast<std::uint64_t>(status.st_blocks) * block;
  return there > 0 && there < size && size - there >= std::max(smallest_hole, size / 8);
}

struct Words {
  std::string noun;
  std::string advice;
};

Words words_of_regular_file(const struct statfs& file_system, bool shmem, bool has_name) {
  if (file_system.f_type == HUGETLBFS_MAGIC) {
    return {"a hugetlb memfd",
            "load the companion module (modprobe handover), or use a memfd without MFD_HUGETLB: "
            "handoverd collapses it into huge pages"};
  }
  if (shmem && has_name) {
    return {"a file in tmpfs with a name",
            "load the companion module (modprobe handover), or use memfd_create() in place of a "
            "file in /dev/shm"};
  }
  if (shmem) return {"a memfd", ""};
  return {"a regular file",
          "its contents are on a file system: sync it, and open it again in the new kernel"};
}

Words words_of(int fd, const struct stat& status, const struct statfs& file_system, bool shmem) {
  if (S_ISREG(status.st_mode)) {
    return words_of_regular_file(file_system, shmem, status.st_nlink > 0);
  }
  if (S_ISFIFO(status.st_mode)) {
    return {"a pipe", "close it before the update, and make it again in the new kernel"};
  }
  if (S_ISSOCK(status.st_mode)) {
    return {"a socket", "close it before the update, and connect again in the new kernel"};
  }
  if (S_ISDIR(status.st_mode)) {
    return {"a directory", "open it again in the new kernel"};
  }
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
    return {S_ISCHR(status.st_mode) ? "a character device" : "a block device",
            "its driver must support live update: open it again in the new kernel"};
  }
  if (std::string noun = anonymous_inode(fd); !noun.empty()) {
    return {noun, "make it again in the new kernel"};
  }
  return {"a file of an unknown type", "make it again in the new kernel"};
}

}  // namespace

Result<FileType> examine(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return bad_descriptor(fd, errno);
  if ((flags & O_PATH) != 0) {
    return fail(ErrorCode::invalid_argument, "descriptor " + std::to_string(fd) +
                                                 " was opened with O_PATH: open it for reading");
  }
  struct stat status = {};
  struct statfs file_system = {};
  if (::fstat(fd, &status) < 0 || ::fstatfs(fd, &file_system) < 0) return bad_descriptor(fd, errno);

  // F_GET_SEALS works on shmem and hugetlb files only (mm/memfd.c).
  const bool shmem = file_system.f_type == TMPFS_MAGIC && ::fcntl(fd, F_GET_SEALS) >= 0;
  Words words = words_of(fd, status, file_system, shmem);
  FileType type;
  type.kind = shmem ? (status.st_nlink > 0 ? Kind::tmpfs : Kind::memfd)
              : file_system.f_type == HUGETLBFS_MAGIC ? Kind::hugetlb
                                                      : Kind::fd;
  type.sparse = shmem && has_holes(status);
  type.bytes = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
  type.noun = std::move(words.noun);
  type.advice = std::move(words.advice);
  type.preservable = shmem && status.st_nlink == 0;  // memfd_luo_can_preserve() in mm/memfd_luo.c
  type.device = status.st_dev;
  type.inode = status.st_ino;
  return type;
}

Frozen frozen(int fd, const FileType& type) {
  const int flags = ::fcntl(fd, F_GETFL);
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (flags < 0 || seals < 0) return Frozen::unknown;
  if ((flags & O_ACCMODE) == O_RDONLY || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
    return Frozen::unknown;
  }
  // There is nothing to punch behind the end; a frozen file refuses before anybody looks where
  // (shmem_fallocate() in mm/shmem.c).
  constexpr std::uint64_t page = 4096;
  const auto behind = static_cast<off_t>((type.bytes / page + 1) * page);
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, behind, page) == 0) {
    return Frozen::no;
  }
  return errno == EPERM ? Frozen::yes : Frozen::unknown;
}

Result<UniqueFd> duplicate_fd(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (copy) return copy;
  if (errno == EBADF) return bad_descriptor(fd, EBADF);
  return fail_errno("cannot duplicate descriptor " + std::to_string(fd));
}

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
// What kind of file a descriptor refers to, in words for the person whose preserve was refused.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/unique_fd.h"
#include "core/words.h"

namespace handover::backend {

/// Whether the kernel keeps a file from changing its size, as it does when the file is preserved.
enum class Frozen { no, yes, unknown };

struct FileType {
  Kind kind = Kind::fd;     ///< memfd, tmpfs, hugetlb or fd
  std::uint64_t bytes = 0;  ///< file size; 0 if it has none
  std::string noun;         ///< "a pipe", "a hugetlb memfd"
  std::string advice;       ///< what to do in place of preserving it; "" for a memfd
  bool preservable =
      false;            ///< what LUO's memfd handler takes: shmem, without a name in a directory
  bool sparse = false;  ///< clearly fewer blocks than its size: LUO would fill the holes
  dev_t device = 0;     ///< with inode: the identity that LUO knows a memfd by
  ino_t inode = 0;
};

/// invalid_argument if `fd` is no open descriptor or was opened with O_PATH.
Result<FileType> examine(int fd);

/// Whether a shmem file is preserved by either keeper (mm/shmem.c: SHMEM_F_MAPPING_FROZEN). LUO
/// does not look at this mark before it sets it, and later removes it together with the tracker's:
/// so look before LUO is asked. unknown if `fd` is read-only or the file is sealed against writing.
Frozen frozen(int fd, const FileType& type);

/// A duplicate with CLOEXEC. invalid_argument for a bad descriptor; io.
Result<UniqueFd> duplicate_fd(int fd);

}  // namespace handover::backend

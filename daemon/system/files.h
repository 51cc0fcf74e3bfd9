// SPDX-License-Identifier: LGPL-2.1-or-later
// Small files, read and written as a whole: a reader, or a crash, sees the old or the new contents.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::system {

/// io with the path; ENOENT is in sys_errno for callers to whom absence means something.
Result<std::string> read_file(const std::string& path);
/// Writes beside `path` and renames. Mode 0600. `durable`: on a disk, as in disk.h, with its limit.
Result<void> replace_file(const std::string& path, std::string_view text, bool durable);
/// As in disk.h.
Result<void> remove_file(const std::string& path);
/// A memfd with CLOEXEC that holds `text`, rewound to 0.
Result<UniqueFd> memfd_with(const std::string& name, std::string_view text);
/// The pieces one behind the other, each at a multiple of four, in a memfd that is open for reading
/// only and can be changed by nobody: the kernel loads no file that is open for writing (ETXTBSY).
Result<UniqueFd> sealed_file(const std::string& name, const std::vector<std::string_view>& pieces);
/// Everything in `fd` from offset 0 (pread), up to `limit` bytes.
Result<std::string> read_fd(int fd, std::uint64_t limit);

}  // namespace handover::system

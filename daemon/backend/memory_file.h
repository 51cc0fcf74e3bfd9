// SPDX-License-Identifier: LGPL-2.1-or-later
// Memfds with texts of the backends' own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::backend {

/// A new memfd (CLOEXEC) of `size` bytes, all zero.
Result<UniqueFd> make_memory_file(const std::string& name, std::uint64_t size);

/// Writes all of `bytes` at `offset`.
Result<void> write_memory_file(int fd, std::string_view bytes, std::uint64_t offset = 0);

/// All that is in it. io if it cannot be read, or is no file in memory.
Result<std::string> read_memory_file(int fd);

}  // namespace handover::backend

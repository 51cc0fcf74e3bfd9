// SPDX-License-Identifier: LGPL-2.1-or-later
// A memfd that a backend keeps a text of its own in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::backend {

/// An empty memfd (CLOEXEC) of `size` bytes.
Result<UniqueFd> make_memory_file(const std::string& name, std::uint64_t size);

/// Writes `text` at the start and zeroes behind it; the size stays (a preserved memfd may not
/// change it). invalid_argument if it does not fit.
Result<void> write_memory_file(int fd, std::string_view text);

/// The text up to the zeroes behind it.
Result<std::string> read_memory_file(int fd);

Result<std::uint64_t> memory_file_size(int fd);

}  // namespace handover::backend

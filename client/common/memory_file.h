// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory as a file: new, and compared with what came back.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>

namespace handover::common {

/// A memfd of that size, all zero.
/// `flags`: more of memfd_create(2).
client::Result<client::Fd> make_memory(const std::string& name, std::uint64_t size,
                                       unsigned flags = 0);

/// An error unless both are the same file.
client::Result<void> check_same_file(int one, int other);

/// Bytes of the file behind `fd`.
client::Result<std::uint64_t> size_of(int fd);

}  // namespace handover::common

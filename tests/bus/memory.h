// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory worth preserving: memfds with contents that can be told apart, and their checksums.
#pragma once

#include <cstdint>
#include <string>

#include "core/unique_fd.h"

namespace handover::test {

/// A memfd of `bytes` filled with pseudo-random contents that follow from `seed`.
UniqueFd memory_with(std::uint64_t seed, std::size_t bytes);

/// The whole contents of `fd`.
std::string contents_of(int fd);

/// CRC-32 of the whole contents of `fd`.
std::uint32_t checksum_of(int fd);

}  // namespace handover::test

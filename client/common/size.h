// SPDX-License-Identifier: LGPL-2.1-or-later
// Sizes as people write them on a command line.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string_view>

namespace handover::common {

/// "4096", "64K", "256M", "2G", "1T", each with or without "iB" or "B" behind it, in powers of
/// 1024. Zero, a fraction, an unknown unit and what is over 2^63 - 1 (off_t) are refused.
client::Result<std::uint64_t> parse_size(std::string_view text);

}  // namespace handover::common

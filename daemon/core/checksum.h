// SPDX-License-Identifier: LGPL-2.1-or-later
// The checksum that the manifest's texts carry.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace handover {

inline constexpr std::size_t checksum_digits = 8;

/// CRC-32 in hexadecimal digits.
std::string checksum(std::string_view text);

}  // namespace handover

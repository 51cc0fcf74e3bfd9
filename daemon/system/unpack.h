// SPDX-License-Identifier: LGPL-2.1-or-later
// Unpacks one stream in any of the compressions that kernels and modules use.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "core/error.h"

namespace handover::system {

/// true if `bytes` begin as gzip, bzip2, LZMA, xz, LZ4 (frame or legacy) or zstd streams do.
bool is_compressed(std::string_view bytes);

/// Feeds the unpacked bytes to `sink`, piece by piece; returns how many they were. io with what the
/// decompressor says, also if the stream is cut or unpacks to more than `limit`. No external
/// program is run, so LZO is not understood.
Result<std::uint64_t> unpack(std::string_view compressed, std::uint64_t limit,
                             const std::function<void(std::string_view)>& sink);

}  // namespace handover::system

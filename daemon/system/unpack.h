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

/// The same of a stream that comes piece by piece: `source` gives the next one, valid until it is
/// called again; "" at the end. `taken` becomes how many of its bytes belong to the stream; only as
/// far as that is known if there is an error.
Result<std::uint64_t> unpack(const std::function<std::string_view()>& source, std::uint64_t limit,
                             const std::function<void(std::string_view)>& sink,
                             std::uint64_t& taken);

}  // namespace handover::system

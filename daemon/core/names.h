// SPDX-License-Identifier: LGPL-2.1-or-later
// What a session or client may be called.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/error.h"

namespace handover {

/// LUO's limit without the terminating NUL (LIVEUPDATE_SESSION_NAME_LENGTH,
/// uapi/linux/liveupdate.h).
inline constexpr std::size_t max_name_bytes = 63;

/// The kernel session that carries the daemon's own manifest.
inline constexpr std::string_view manifest_session_name = "handoverd";

/// 1 to 63 bytes of UTF-8, no '/', no control character, not "." or "..". invalid_name otherwise.
Result<void> check_name(std::string_view name);

/// As check_name(). Refuses also the names of kernel sessions that are taken: "systemd" (PID 1's)
/// and "handoverd" (ours).
Result<void> check_session_name(std::string_view name);

}  // namespace handover

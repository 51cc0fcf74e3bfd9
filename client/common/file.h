// SPDX-License-Identifier: LGPL-2.1-or-later
// Reading small files of /proc and /sys, and naming what the system refused.
#pragma once

#include <handover/handover.hpp>
#include <string>

namespace handover::common {

/// "<what>: <strerror(code)>"; the code is errno unless given.
client::Error errno_error(const std::string& what);
client::Error errno_error(const std::string& what, int code);

/// All of a file.
client::Result<std::string> read_file(const std::string& path);

}  // namespace handover::common

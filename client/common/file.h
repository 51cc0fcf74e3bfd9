// SPDX-License-Identifier: LGPL-2.1-or-later
// Small files: reading those of /proc and /sys, writing such as are whole at any instant; and
// naming what the system refused.
#pragma once

#include <handover/handover.hpp>
#include <string>

namespace handover::common {

/// "<what>: <strerror(code)>"; the code is errno unless given.
client::Error errno_error(const std::string& what);
client::Error errno_error(const std::string& what, int code);

/// All of a file.
client::Result<std::string> read_file(const std::string& path);

enum class Durable { no, yes };

/// Puts `text` in place of what was there, in one step; durable: when it returns, a power cut does
/// not undo it.
client::Result<void> replace_file(const std::string& path, const std::string& text,
                                  Durable durable);

}  // namespace handover::common

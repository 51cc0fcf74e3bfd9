// SPDX-License-Identifier: LGPL-2.1-or-later
// Opens files whose paths an operator or a boot loader's entry gives.
#pragma once

#include <string>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::system {

/// To read; links are followed. What is no regular file is not opened, not even for a moment: that
/// starts a watchdog, rewinds a tape and waits for a pipe. invalid_argument: it is none; io, with
/// the errno.
Result<UniqueFd> open_regular(const std::string& path);

}  // namespace handover::system

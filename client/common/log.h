// SPDX-License-Identifier: LGPL-2.1-or-later
// Lines on stderr, with the level that the journal understands where it listens.
#pragma once

#include <systemd/sd-daemon.h>

#include <string>

namespace handover::common {

/// "<program>: <message>"; the level is one of SD_ERR, SD_WARNING, SD_NOTICE, SD_INFO.
void say(const char* level, const std::string& message);

}  // namespace handover::common

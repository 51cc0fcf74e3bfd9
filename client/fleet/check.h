// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether what a configuration names is there and can be used.
#pragma once

#include <handover/handover.hpp>
#include <string>

#include "config.h"

namespace handover::fleet {

/// Reads the file, and looks at calendars, keys and programs. The error is one line with the field.
/// EINVAL: the configuration is wrong; another code: it cannot be used now.
client::Result<Config> usable_config(const std::string& file);

}  // namespace handover::fleet

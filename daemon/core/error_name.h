// SPDX-License-Identifier: LGPL-2.1-or-later
// The D-Bus name of an error.
#pragma once

#include <string>

#include "core/error.h"

namespace handover {

/// "org.handover1.Error.<word>".
inline std::string dbus_name(ErrorCode code) {
  return "org.handover1.Error." + std::string(to_string(code));
}

}  // namespace handover

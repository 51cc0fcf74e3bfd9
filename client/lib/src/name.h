// SPDX-License-Identifier: LGPL-2.1-or-later
// Names that cannot even be sent: D-Bus carries UTF-8 only. All other rules are the daemon's.
#pragma once

#include <initializer_list>

#include "handover/handover.h"

namespace handover::client {

/// 0 if a message can carry each of them (NULL: not given); else InvalidName in `error`, with a
/// sentence, where sd-bus would say no more than EINVAL.
int check_names(std::initializer_list<const char*> names, handover_error** error);

}  // namespace handover::client

// SPDX-License-Identifier: LGPL-2.1-or-later
// What COMMAND says by sd_notify(3), and what of it is for systemd.
#pragma once

#include <string>
#include <string_view>

namespace handover::common {

struct Notification {
  bool ready = false;
  std::string passed_on;  ///< "" if none of it is systemd's business
};

/// COMMAND's process is not the unit's main one and has no watchdog, for it cannot answer one while
/// it stands still; and that the unit is ready is ours to say.
Notification parse_notification(std::string_view text);

}  // namespace handover::common

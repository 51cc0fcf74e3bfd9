// SPDX-License-Identifier: LGPL-2.1-or-later
// What is known of the watchdog that is to watch over the kexec.
#pragma once

#include <optional>
#include <string>

namespace handover {

struct WatchdogFacts {
  std::string device;
  bool there = false;
  std::string identity;         ///< as its driver calls it; "" if it does not say
  bool open_elsewhere = false;  ///< somebody has it open, and feeds it
  bool nowayout = false;        ///< once started it cannot be stopped
  /// The parameter of the kernel's watchdog core: 0 leaves them running at a reboot, 1 stops them,
  /// -1 is as the driver likes. Absent: it is not known.
  std::optional<int> stop_on_reboot;
};

/// Half a sentence: why an update does not start it; "" if it does.
std::string why_not_armed(const WatchdogFacts& facts);

/// Whether it surely counts on from the reboot call to the new kernel's driver.
bool counts_over_reboot(const WatchdogFacts& facts);

}  // namespace handover

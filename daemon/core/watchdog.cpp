// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/watchdog.h"

namespace handover {

std::string why_not_armed(const WatchdogFacts& facts) {
  if (!facts.there) return "there is no such watchdog";
  // drivers/watchdog/softdog.c: a timer of the kernel that is left.
  if (facts.identity == "Software Watchdog") return "it is software, and goes with this kernel";
  if (facts.open_elsewhere) return "somebody else has it open (RuntimeWatchdogSec= of PID 1?)";
  if (facts.nowayout) return "it could not be stopped if the kexec failed (nowayout)";
  return {};
}

bool counts_over_reboot(const WatchdogFacts& facts) { return facts.stop_on_reboot == 0; }

}  // namespace handover

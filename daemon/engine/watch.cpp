// SPDX-License-Identifier: LGPL-2.1-or-later
// The watchdog over the kexec: armed last of all, stopped if the kexec does not come, and stopped
// by the new kernel's daemon. In an orderly update systemd's own does that (KExecWatchdogSec=).
#include <algorithm>
#include <utility>

#include "engine/engine.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

/// "": none watches over such an update.
std::string Engine::watchdog_of(const UpdateOptions& options) const {
  const bool immediate = options.mode.value_or(setup_.config.mode) == Mode::immediate;
  return immediate && !emulated() ? setup_.config.watchdog.device : std::string();
}

/// (waits) Whether it counts.
bool Engine::arm_watchdog(Host& host, const WatchdogConfig& config) {
  const auto facts = host.watchdog_facts(config.device);
  if (const auto why = why_not_armed(facts); !why.empty()) {
    log::warning("The watchdog ", config.device, " does not watch over the kexec: ", why, ".");
    return false;
  }
  const auto armed = host.arm_watchdog(config.device, config.timeout_usec);
  if (!armed) {
    log::warning("Nothing watches over the kexec: ", armed.error().message, ".");
    return false;
  }
  log::info("The watchdog ", config.device, " resets the machine in ", *armed,
            " s, unless the new kernel stops it.");
  return true;
}

/// This kernel goes on.
void Engine::disarm_watchdog() {
  if (!std::exchange(watchdog_armed_, false)) return;
  host_.run(target_queue, [this, alive = alive_]() -> std::function<void()> {
    const auto done =
        run_or_fail("stopping the watchdog", [this] { return host_.disarm_watchdog(); });
    return [this, alive, done] {
      if (!*alive || done) return;
      log::error("It is fed for as long as handoverd runs: ", done.error().message, ".");
      feed_watchdog();
    };
  });
}

/// It must not reset a host that goes on.
void Engine::feed_watchdog() {
  host_.run(target_queue, [this, alive = alive_]() -> std::function<void()> {
    const auto fed = run_or_fail("feeding the watchdog", [this] { return host_.feed_watchdog(); });
    if (!fed) log::error(fed.error().message, ".");
    return [this, alive] {
      if (!*alive) return;
      const auto pause = std::max<std::uint64_t>(setup_.config.watchdog.timeout_usec / 4, 500'000);
      watchdog_alarm_ = host_.after(pause, [this] { feed_watchdog(); });
    };
  });
}

/// An earlier kernel, or an earlier process of this one, has armed it, and we are here.
void Engine::stop_watchdog() {
  const auto& device = setup_.config.watchdog.device;
  if (device.empty() || emulated()) return;
  host_.run(target_queue, [this, device]() -> std::function<void()> {
    const auto stopped =
        run_or_fail("stopping the watchdog", [&] { return host_.stop_watchdog(device); });
    if (!stopped) log::error(stopped.error().message, ".");
    return [] {};
  });
}

}  // namespace handover::engine

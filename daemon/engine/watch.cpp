// SPDX-License-Identifier: LGPL-2.1-or-later
// The watchdog over the kexec: armed last of all, stopped if the kexec does not come, and stopped
// by the new kernel's daemon. In an orderly update systemd's own does that (KExecWatchdogSec=).
#include <utility>

#include "engine/engine.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// The driver of another kernel may have given it a shorter time than it was armed with.
constexpr std::uint64_t feed_pause_usec = 500'000;
/// How often its driver is looked for.
constexpr std::uint64_t driver_look_usec = 1'000'000;

}  // namespace

/// "": none watches over such an update.
std::string Engine::watchdog_of(const UpdateOptions& options) const {
  const bool immediate = options.mode.value_or(setup_.config.mode) == Mode::immediate;
  return immediate && !emulated() ? setup_.config.watchdog.device : std::string();
}

/// (waits) Whether it may count.
bool Engine::arm_watchdog(Host& host, const WatchdogConfig& config) {
  const auto facts = host.watchdog_facts(config.device);
  if (const auto why = why_not_armed(facts); !why.empty()) {
    log::warning("The watchdog ", config.device, " does not watch over the kexec: ", why, ".");
    return false;
  }
  const auto armed = host.arm_watchdog(config.device, config.timeout_usec);
  if (!armed) {
    log::warning("Nothing watches over the kexec: ", armed.error().message, ".");
    return armed.error().code == ErrorCode::busy;  // it was started, and cannot be stopped
  }
  log::info("The watchdog ", config.device, " resets the machine in ", *armed,
            " s, unless the new kernel stops it.");
  return true;
}

void Engine::forget_watchdog() {
  watchdog_.reset();
  watchdog_alarm_.reset();
  journal_.note_head();
  wake();
}

/// It must not reset a host that goes on.
void Engine::feed_watchdog() {
  host_.run(target_queue, [this, alive = alive_]() -> std::function<void()> {
    const auto fed = run_or_fail("feeding the watchdog", [this] { return host_.feed_watchdog(); });
    if (!fed) log::error(fed.error().message, ".");
    return [this, alive] {
      if (!*alive) return;
      watchdog_alarm_ = host_.after(feed_pause_usec, [this] { feed_watchdog(); });
    };
  });
}

/// This kernel goes on; or an earlier one, or an earlier process of this one, has armed it.
void Engine::stop_watchdog() {
  if (!watchdog_ || emulated()) return;
  host_.run(target_queue,
            [this, alive = alive_, device = watchdog_->device]() -> std::function<void()> {
              const auto stopped =
                  run_or_fail("stopping the watchdog", [&] { return host_.stop_watchdog(device); });
              return [this, alive, stopped] {
                if (*alive && watchdog_) watchdog_stopped(stopped);
              };
            });
}

/// Its driver may be a module that comes after us: until then nobody can stop it.
void Engine::watchdog_stopped(const Result<void>& stopped) {
  if (stopped) return forget_watchdog();
  if (stopped.error().code == ErrorCode::busy) {
    log::error("It is fed for as long as handoverd runs: ", stopped.error().message, ".");
    return feed_watchdog();
  }
  if (watchdog_waited_usec_ >= watchdog_->timeout_usec) {
    log::error("The watchdog that was armed over the kexec could not be stopped: ",
               stopped.error().message, ".");
    return forget_watchdog();
  }
  watchdog_waited_usec_ += driver_look_usec;
  watchdog_alarm_ = host_.after(driver_look_usec, [this] { stop_watchdog(); });
}

/// What was armed is not known: the manifest that says so is lost.
void Engine::stop_unrecorded_watchdog() {
  const auto& config = setup_.config.watchdog;
  if (watchdog_ || config.device.empty() || emulated()) return;
  watchdog_ = ArmedWatchdog{config.device, config.timeout_usec};
  journal_.note_head();
  wake();
  stop_watchdog();
}

}  // namespace handover::engine

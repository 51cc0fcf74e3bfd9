// SPDX-License-Identifier: LGPL-2.1-or-later
// Another QEMU under a guest that runs, in the same kernel: `handover-vmm restart`.
#include <systemd/sd-daemon.h>

#include <cerrno>

#include "access.h"
#include "common/log.h"
#include "guest.h"
#include "replacement.h"

namespace handover::vmm {

using common::now_usec;
using common::say;

void Guest::open_restart_socket() {
  auto opened = restart_socket_.open(
      event_, options_.directory, options_.name,
      [this](common::RestartRequest request) { on_restart_requested(std::move(request)); });
  if (!opened) say(SD_NOTICE, "'restart' cannot reach this guest: " + opened.error().message);
}

void Guest::on_restart_requested(common::RestartRequest request) {
  const auto refuse = [&](const std::string& why) {
    request.answer("The guest '" + options_.name + "' " + why);
  };
  if (motion_ != Motion::running || restore_call_ || awaits_restore_) {
    return refuse("is in an update: ask again when that is over.");
  }
  if (!qemu_ || shutdown_step_ > 0) return refuse("does not run now.");
  auto done = restart();
  if (done) return request.answer("");
  say(SD_ERR, done.error().message);
  request.answer(done.error().message);
  if (!qemu_) leave(own_failure);
}

/// A new QEMU with the configured program and the arguments that the guest has. An error says why
/// not, and the guest goes on as it was; without a QEMU, that failed too.
client::Result<void> Guest::restart() {
  const auto qualified = [this](const client::Error& error) {
    return client::Error{"", "The guest '" + options_.name + "' keeps its QEMU: " + error.message,
                         error.code};
  };
  auto config = read_config(options_.config);
  if (!config) return qualified(config.error());
  auto user = qemu_user(description_);
  if (!user) return qualified(user.error());
  const auto* identity = *user && (*user)->from_start ? &(*user)->identity : nullptr;
  if (auto runs = try_program(config->qemu, identity); !runs) return qualified(runs.error());
  const Deadline deadline = now_usec() + config_.limits.restore;
  auto state = run_state(qemu_->peer(), deadline);
  if (!state) return qualified(state.error());
  if (*state != "running") return qualified({"", "it is '" + *state + "'.", EBUSY});
  // All that would be looked at before an update.
  if (auto portable = check(deadline); !portable) return portable;

  auto frozen = freeze(deadline);
  auto header = frozen ? read_description() : client::Result<StateHeader>(frozen.error());
  if (!header) {
    if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
    return qualified(header.error());
  }
  const auto old = qemu_->pid();
  const bool beside = description_.helpers.empty() && can_stand_beside(description_.arguments);
  auto changed = beside ? change_beside(*header, config->qemu, deadline)
                        : change_in_turn(*header, config->qemu, deadline);
  if (!qemu_) {
    motion_ = Motion::running;  // there is nothing left to thaw
    return changed;
  }
  client::Result<void> on;
  if (qemu_->pid() == old) {
    on = thaw();
    // It may have ended while nobody looked. The state is there, and the guest did not run since.
    if (!on && on.error().code != ETIMEDOUT) on = take_over();
  } else {
    on = go_on(*header, Place::same_kernel, now_usec() + config_.limits.restore);
    if (!on) motion_ = Motion::running;  // it may run: what was saved is of no use any more
  }
  if (!on) say(SD_ERR, "The guest does not go on: " + on.error().message);
  return changed ? on : qualified(changed.error());
}

/// The old QEMU stands by until the new one has read the state.
client::Result<void> Guest::change_beside(const StateHeader& header, const std::string& program,
                                          Deadline deadline) {
  const auto before = description_.qemu;
  process_.forget();
  monitor_source_.reset();
  std::optional<Qemu> old(std::move(qemu_));
  qemu_.reset();
  description_.qemu = program;
  auto changed = start_qemu(Qemu::Begin::incoming);
  if (changed) changed = read_in(header, deadline);
  if (changed) return {};
  drop_qemu();
  description_.qemu = before;
  qemu_.emplace(std::move(*old));
  if (auto watched = watch_qemu(); !watched) say(SD_ERR, watched.error().message);
  return changed;
}

/// The old QEMU has what only one can have, and ends first. Its program, which may have been
/// removed, is started again if the new one fails.
client::Result<void> Guest::change_in_turn(const StateHeader& header, const std::string& program,
                                           Deadline deadline) {
  const auto before = description_.qemu;
  auto old = program_of(qemu_->pid());
  if (!old) return old.error();
  drop_qemu();
  description_.qemu = program;
  auto changed = start_qemu(Qemu::Begin::incoming);
  if (changed) changed = read_in(header, deadline);
  if (changed) return {};
  drop_qemu();
  say(SD_WARNING, changed.error().message);
  description_.qemu = path_of(*old);
  auto back = start_qemu(Qemu::Begin::incoming);
  if (back) back = read_in(header, now_usec() + config_.limits.restore);
  description_.qemu = before;
  if (back) return changed;
  drop_qemu();
  return client::Error{
      "",
      changed.error().message +
          " The program that had the guest does not take it back either: " + back.error().message,
      back.error().code};
}

}  // namespace handover::vmm

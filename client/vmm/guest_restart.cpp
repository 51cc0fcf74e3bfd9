// SPDX-License-Identifier: LGPL-2.1-or-later
// Another QEMU under a guest that runs, in the same kernel: `handover-vmm restart`.
#include <systemd/sd-daemon.h>

#include <cerrno>

#include "access.h"
#include "common/log.h"
#include "guest.h"
#include "program_file.h"
#include "replacement.h"
#include "requirements.h"

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
  if (auto on = thaw_if_left_standing(); !on) {
    return request.answer(what_became(on.error()).message);
  }
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
/// not, and what became of the guest unless it goes on as it was.
client::Result<void> Guest::restart() {
  auto config = read_config(options_.config);
  if (!config) return keeps_its_qemu(config.error());
  auto user = qemu_user(description_);
  if (!user) return keeps_its_qemu(user.error());
  const auto* identity = *user && (*user)->from_start ? &(*user)->identity : nullptr;
  if (auto runs = try_program(config->qemu, identity); !runs) return keeps_its_qemu(runs.error());
  if (const auto held =
          only_one_can_have(description_.arguments, own_directory(), !description_.helpers.empty());
      !held.empty()) {
    return keeps_its_qemu({"", held, EBUSY});
  }
  const Deadline deadline = now_usec() + config_.limits.restore;
  auto state = run_state(qemu_->peer(), deadline);
  if (!state) return keeps_its_qemu(state.error());
  if (*state != "running") return keeps_its_qemu({"", "it is '" + *state + "'.", EBUSY});
  // All that would be looked at before an update.
  if (auto portable = check(deadline); !portable) return portable;

  auto frozen = freeze(deadline);
  auto header = frozen ? read_description() : client::Result<StateHeader>(frozen.error());
  if (!header) return go_back(header.error());
  const bool beside = description_.helpers.empty() && can_stand_beside(description_.arguments);
  auto changed = beside ? change_beside(*header, config->qemu, deadline)
                        : change_in_turn(*header, config->qemu, deadline);
  if (!changed && motion_ != Motion::running) return go_back(changed.error());
  if (!qemu_) return changed;
  if (changed) {
    changed = note_going(*header, Place::same_kernel, now_usec() + config_.limits.restore);
  }
  return changed ? changed : what_became(changed.error());
}

/// The QEMU that there is, of the program that had the guest, goes on with it.
client::Result<void> Guest::go_back(const client::Error& why) {
  auto on = thaw();
  if (on) return keeps_its_qemu(why);
  return client::Error{"", why.message + " " + what_became(on.error()).message, on.error().code};
}

client::Error Guest::keeps_its_qemu(const client::Error& why) const {
  return {"", "The guest '" + options_.name + "' keeps its QEMU: " + why.message, why.code};
}

/// The old QEMU stands by until the new one was told to go on.
client::Result<void> Guest::change_beside(const StateHeader& header, const std::string& program,
                                          Deadline deadline) {
  const auto before = description_.qemu;
  auto inventory = std::move(inventory_);
  process_.forget();
  monitor_source_.reset();
  std::optional<Qemu> old(std::move(qemu_));
  qemu_.reset();
  description_.qemu = program;
  auto changed = start_with(header, deadline);
  if (changed) changed = set_going(header, deadline);
  if (changed || motion_ == Motion::running) return changed;
  drop_qemu();
  description_.qemu = before;
  inventory_ = std::move(inventory);
  qemu_.emplace(std::move(*old));
  if (auto watched = watch_qemu(); !watched) say(SD_ERR, watched.error().message);
  return changed;
}

/// The old QEMU has what only one can have, and ends first. Its program, which may have been
/// removed, is started again if the new one fails.
client::Result<void> Guest::change_in_turn(const StateHeader& header, const std::string& program,
                                           Deadline deadline) {
  const auto before = description_.qemu;
  auto user = qemu_user(description_);
  if (!user) return user.error();
  const auto* identity = *user && (*user)->from_start ? &(*user)->identity : nullptr;
  auto old = qemu_->take_program(identity);
  if (!old) return old.error();
  drop_qemu();
  description_.qemu = program;
  auto changed = start_with(header, deadline);
  if (changed) changed = set_going(header, deadline);
  if (changed || motion_ == Motion::running) return changed;
  drop_qemu();
  say(SD_WARNING, changed.error().message);
  description_.qemu = path_of(*old);
  auto back = start_with(header, now_usec() + config_.limits.restore);
  description_.qemu = before;
  if (back) return changed;
  drop_qemu();
  motion_ = Motion::running;  // there is nothing left to thaw
  return client::Error{
      "",
      changed.error().message +
          " The program that had the guest does not take it back either: " + back.error().message,
      back.error().code};
}

/// A new QEMU that has read the state, and stands still.
client::Result<void> Guest::start_with(const StateHeader& header, Deadline deadline) {
  if (auto started = start_qemu(Qemu::Begin::incoming); !started) return started;
  return read_in(header, deadline);
}

}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
// A guest in an update that begins, or does not happen: Prepare, Freeze and Thaw.
#include <systemd/sd-daemon.h>

#include <cerrno>

#include "advice.h"
#include "common/log.h"
#include "counter.h"
#include "guest.h"
#include "survey.h"

namespace handover::vmm {

using common::now_usec;
using common::say;

namespace {

void answer(client::Call& call, const client::Result<void>& outcome) {
  if (outcome) {
    call.done();
  } else {
    call.fail(outcome.error().message);
  }
}

}  // namespace

/// A tenth is left for the answer to arrive in time.
Deadline Guest::deadline_of(const client::Call& call, std::uint64_t limit_usec) {
  const std::uint64_t limit = call.timeout_usec() ? call.timeout_usec() : limit_usec;
  return now_usec() + limit / 10 * 9;
}

void Guest::on_prepare(client::Call call) {
  answer(call, check(deadline_of(call, config_.limits.prepare)));
}

client::Result<void> Guest::check(Deadline deadline) {
  if (auto on = thaw_if_left_standing(); !on) return what_became(on.error());
  if (!qemu_) return client::Error{"", "The guest '" + options_.name + "' does not run.", ESRCH};
  preservation_.attempt();
  if (!preservation_.complete()) {
    return client::Error{"",
                         "The memory of the guest '" + options_.name +
                             "' is not preserved: " + preservation_.reason(),
                         EBUSY};
  }
  auto portable = check_unchanged(deadline);
  if (portable) portable = check_surroundings();
  if (portable) portable = check_portable(qemu_->peer(), deadline);
  if (portable) return {};
  return client::Error{
      "", "The guest '" + options_.name + "' cannot be carried: " + portable.error().message,
      portable.error().code};
}

/// Would the next QEMU be what this one is?
client::Result<void> Guest::check_unchanged(Deadline deadline) {
  if (!inventory_) {
    return client::Error{"", "QEMU did not say at its start what it is made of: restart the guest.",
                         EBUSY};
  }
  auto now = take_inventory(qemu_->peer(), deadline);
  if (!now) return now.error();
  const auto found = obstacles(*inventory_, *now);
  if (found.empty()) return {};
  std::string more;
  if (found.size() > 1) more = " There is more (" + std::to_string(found.size() - 1) + ").";
  return client::Error{"", found.front() + more, EBUSY};
}

/// Is there still what the next QEMU will need?
client::Result<void> Guest::check_surroundings() {
  if (auto why = tsc_obstacle(description_.arguments, description_.cpu); !why.empty()) {
    return client::Error{"", why, EBUSY};
  }
  if (auto missing = common::what_is_missing(description_.wait_for); !missing.empty()) {
    return client::Error{"", missing, ENOENT};
  }
  if (auto may = check_user(); !may) return may;
  for (const auto& helper : helpers_) {
    if (helper.runs()) continue;
    return client::Error{"", "The helper '" + helper.name() + "' has ended.", ECHILD};
  }
  return {};
}

void Guest::on_freeze(client::Call call) {
  if (auto on = thaw_if_left_standing(); !on) {
    call.fail(what_became(on.error()).message);
    return;
  }
  if (motion_ == Motion::frozen) {
    call.done();
    return;
  }
  auto frozen = freeze(deadline_of(call, config_.limits.freeze));
  if (!frozen) {
    say(SD_ERR, "The guest could not be frozen: " + frozen.error().message);
    if (auto thawed = thaw_or_leave(); !thawed) say(SD_ERR, thawed.error().message);
  }
  answer(call, frozen);
}

client::Result<void> Guest::freeze(Deadline deadline) {
  if (!qemu_) return client::Error{"", "The guest '" + options_.name + "' does not run.", ESRCH};
  if (auto begun = state_->begin(to_text(description_)); !begun) return begun;
  // What has changed since Prepare is looked for while the guest still runs.
  if (auto unchanged = check_unchanged(deadline); !unchanged) return unchanged;
  auto state = state_to_carry(qemu_->peer(), deadline);
  if (!state) return state.error();
  stood_as_ = *state;
  const bool ran = stood_as_ == "running";

  stopped_at_ = read_counter();
  motion_ = Motion::stopped;  // also if no answer comes: QEMU may obey it later
  if (ran) {
    if (auto stopped = stop_guest(qemu_->peer(), deadline); !stopped) return stopped;
  }
  resumed_ = false;
  if (auto saved = save_state(qemu_->peer(), *state_, deadline); !saved) {
    cancel_saving(qemu_->peer(), now_usec() + config_.limits.command);
    return saved;
  }
  state_->complete(stopped_at_, ran);
  motion_ = Motion::frozen;
  tell("frozen");
  return {};
}

void Guest::on_thaw(client::Call call) {
  auto thawed = thaw_or_leave();
  if (!thawed) say(SD_ERR, "The guest does not go on: " + thawed.error().message);
  answer(call, thawed);
  if (preservation_.in_doubt()) preservation_.attempt_soon();
}

/// Where no QEMU has the guest any more, this program ends, too: a new guest under its name would
/// hide that it is lost.
client::Result<void> Guest::thaw_or_leave() {
  auto thawed = thaw();
  if (!thawed && is_to_begin()) leave(own_failure);
  return thawed;
}

/// In this kernel: the same QEMU, or if it has ended a new one.
client::Result<void> Guest::thaw() {
  orphan_timer_.stop();
  if (motion_ == Motion::running) return {};
  if (!qemu_) {
    say(SD_NOTICE, "QEMU has ended while the guest was frozen: a new one takes it over.");
    return take_over();
  }
  if (stood_as_ != "running") return stand_as_before();
  auto continued = continue_guest(qemu_->peer(), now_usec() + config_.limits.command);
  if (!continued) return not_thawed(continued.error());
  put_back();
  const auto header = state_->header();
  runs_again({false, usec_since(stopped_at_), header ? header.value().state_bytes : 0});
  return {};
}

client::Result<void> Guest::not_thawed(const client::Error& why) {
  if (why.code == EREMOTEIO) {
    stand();
  } else if (why.code == ETIMEDOUT || resumed_) {
    // One that hangs was told nevertheless, and goes on as soon as it hears it; the state of one
    // that went on is old, whatever became of QEMU.
    motion_ = Motion::running;
  } else if (motion_ == Motion::frozen) {
    say(SD_NOTICE, "QEMU has ended while nobody looked: a new one takes the guest over.");
    return take_over();
  }
  return why;
}

/// QEMU refuses, since somebody else uses an image, say. The guest is whole, and whoever froze it
/// need not ask a second time.
void Guest::stand() {
  stands_ = true;
  tell("frozen");  // it may be in another QEMU than the one that was frozen
  again_timer_.start(again_usec);
}

client::Result<void> Guest::thaw_if_left_standing() {
  if (!stands_) return {};
  stands_ = false;
  again_timer_.stop();
  auto on = thaw_or_leave();
  if (on) return on;
  const auto became = what_became(on.error()).message;
  if (became != missing_) say(SD_ERR, became);
  missing_ = became;
  return on;
}

/// A guest that did not go on, for that reason.
client::Error Guest::what_became(const client::Error& why) const {
  const std::string guest = "The guest '" + options_.name + "' ";
  if (!qemu_) return {"", guest + "has ended: no QEMU has it any more: " + why.message, why.code};
  const auto process = "QEMU, process " + std::to_string(qemu_->pid());
  const std::string what =
      stands_
          ? "stands still in " + process + ", which is told to go on each second until it does: "
          : "was told to go on in " + process + "; restart it if it does not: ";
  return {"", guest + what + why.message, why.code};
}

/// A guest that did not run. QEMU knows no way back from a state that is written to a guest that is
/// paused or off; a new one that reads the state does.
client::Result<void> Guest::stand_as_before() {
  const Deadline deadline = now_usec() + config_.limits.command;
  auto now = run_state(qemu_->peer(), deadline);
  if (!now) return now.error();
  if (*now != stood_as_ && motion_ == Motion::frozen) return take_over();
  if (*now != stood_as_ && stood_as_ == "paused") {
    say(SD_WARNING, "The guest was paused, and runs for an instant: QEMU failed half-way.");
    if (auto continued = continue_guest(qemu_->peer(), deadline); !continued) return continued;
    if (auto stopped = stop_guest(qemu_->peer(), deadline); !stopped) return stopped;
  } else if (*now != stood_as_) {
    say(SD_ERR, "QEMU failed half-way: the guest was '" + stood_as_ + "', and is '" + *now + "'.");
  }
  put_back();
  const auto header = state_->header();
  runs_again({false, usec_since(stopped_at_), header ? header.value().state_bytes : 0});
  return {};
}

/// In this kernel: a new QEMU goes on with the state.
client::Result<void> Guest::take_over() {
  const Deadline deadline = now_usec() + config_.limits.restore;
  auto header = read_description();
  client::Result<void> outcome;
  if (!header) outcome = header.error();
  drop_qemu();
  if (outcome) outcome = start_qemu(Qemu::Begin::incoming);
  if (outcome) outcome = read_in(*header, deadline);
  const bool read = static_cast<bool>(outcome);
  if (outcome) outcome = go_on(*header, Place::same_kernel, deadline);
  if (outcome || (read && outcome.error().code == ETIMEDOUT)) return outcome;
  if (read && outcome.error().code == EREMOTEIO) {
    stand();
    return outcome;
  }
  // There is nothing left to thaw.
  motion_ = Motion::running;
  drop_qemu();
  return outcome;
}

void Guest::put_back() {
  auto put = put_settings_back(qemu_->peer(), now_usec() + config_.limits.command);
  if (!put) say(SD_NOTICE, put.error().message);
}

void Guest::runs_again(const Carried& carried) {
  motion_ = Motion::running;
  stands_ = false;
  carried_ = carried;
  missing_.clear();
  if (!inventory_) {
    auto looked = look_around(now_usec() + config_.limits.command);
    if (!looked) say(SD_WARNING, looked.error().message);
  }
  const bool ran = stood_as_ == "running";
  say(SD_INFO, (ran ? "The guest goes on " : "The guest is '" + stood_as_ + "' as before ") +
                   (carried.restored ? "in the new kernel" : "without an update") +
                   ": stopped for " + std::to_string(carried.stopped_usec / 1000) + " ms, state " +
                   std::to_string(carried.state_bytes) + " bytes, memory " +
                   std::to_string(description_.memory) + " bytes, not copied.");
  tell("running");
  if (ran && !config_.guest_agent.empty()) clock_.set(config_.guest_agent);
}

}  // namespace handover::vmm

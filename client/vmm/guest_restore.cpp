// SPDX-License-Identifier: LGPL-2.1-or-later
// A guest in the kernel behind an update: Restore, and how a QEMU takes up what another one wrote.
#include <systemd/sd-daemon.h>

#include <cerrno>

#include "common/log.h"
#include "counter.h"
#include "guest.h"
#include "survey.h"

namespace handover::vmm {

using common::now_usec;
using common::say;

void Guest::on_restore(client::Call call) {
  awaits_restore_ = true;
  start_deadline_ = deadline_of(call, config_.limits.restore);
  restore_call_.emplace(std::move(call));
  preservation_.lost();
  if (auto retrieved = retrieve(); !retrieved) {
    restored(retrieved);
    return;
  }
  // The daemon died after the guest had gone on, and asks once more (docs/dbus.md, Restore).
  if (qemu_ && motion_ == Motion::running) {
    restored({});
    return;
  }
  try_to_restore();
}

/// A new QEMU with the RAM that is there and the state that was written. Also where the old one is
/// still there (the emulated backend): an update is then tried from end to end.
///
/// In a new kernel we are called before file systems are mounted, devices are found and links are
/// made, so that much may not be there yet.
void Guest::try_to_restore() {
  auto header = read_description();
  if (!header) {
    restored(header.error());
    return;
  }
  if (const auto missing = common::what_is_missing(description_.wait_for); !missing.empty()) {
    if (now_usec() >= start_deadline_) {
      restored(client::Error{"", missing, ENOENT});
    } else {
      wait_for(missing);
    }
    return;
  }
  drop_qemu();
  if (auto started = start_qemu(Qemu::Begin::incoming); !started) {
    drop_qemu();
    if (now_usec() + again_usec >= start_deadline_) {
      restored(started);
      return;
    }
    if (started.error().message != missing_) say(SD_WARNING, started.error().message);
    missing_ = started.error().message;
    again_timer_.start(again_usec);
    return;
  }
  auto loaded = load(*header, Place::next_kernel, start_deadline_);
  restored(loaded ? renew_state_room() : loaded);
}

void Guest::restored(const client::Result<void>& outcome) {
  auto call = std::move(*restore_call_);
  restore_call_.reset();
  if (!outcome) {
    say(SD_ERR, "The guest '" + options_.name + "' did not come back: " + outcome.error().message);
    call.fail(outcome.error().message);
    // A new guest in place of the old one would be a silent loss: the next start is a fresh one.
    leave(own_failure);
    return;
  }
  awaits_restore_ = false;
  call.done();
  // For the next update. The daemon finishes the incoming session of this name upon the answer.
  preservation_.begin_again(items());
}

client::Result<void> Guest::retrieve() {
  auto session = connection_.get_session(options_.name);
  if (!session) return session.error();
  // What came already before the daemon died is here.
  auto ram = session->retrieve(ram_token);
  if (!ram && !(ram_ && ram.error().is("AlreadyRetrieved"))) return ram.error();
  if (ram) ram_ = std::move(*ram);
  auto fd = session->retrieve(state_token);
  if (!fd && !(state_ && fd.error().is("AlreadyRetrieved"))) return fd.error();
  if (!fd) return {};
  auto state = StateMemory::open(std::move(*fd));
  if (!state) return state.error();
  state_.emplace(std::move(*state));
  return {};
}

client::Result<StateHeader> Guest::read_description() {
  auto header = state_->header();
  if (!header) return header;
  auto description = parse_description(state_->description(*header));
  if (!description) return description.error();
  if (!description->run_as) description->run_as = description_.run_as;
  if (!is_same_guest(*description, description_)) {
    say(SD_NOTICE, options_.config + " has changed: it counts when the guest is started afresh.");
  }
  description_ = *description;
  return header;
}

/// The guest does not ask again what its processor can do.
client::Result<void> Guest::check_cpu(Deadline deadline) {
  auto now = look_at_cpu(qemu_->peer(), deadline);
  if (!now) return now.error();
  for (const auto& difference : differs(description_.cpu, *now)) {
    say(SD_WARNING, "The guest's processor is another one: its " + difference + ".");
  }
  const auto missing = lacks(description_.cpu, *now);
  if (missing.empty()) return {};
  std::string all;
  for (const auto& one : missing) all += (all.empty() ? "" : ", ") + one;
  return client::Error{"",
                       "The processor that QEMU has for the guest here lacks what the guest knows "
                       "of it: " +
                           all + ".",
                       ENOTSUP};
}

/// Into the QEMU that waits for it.
client::Result<void> Guest::load(const StateHeader& header, Place place, Deadline deadline) {
  if (auto read = read_in(header, deadline); !read) return read;
  return go_on(header, place, deadline);
}

/// The guest stands still behind it, and another QEMU may have it still.
client::Result<void> Guest::read_in(const StateHeader& header, Deadline deadline) {
  if (auto good = check_cpu(deadline); !good) return good;
  return load_state(qemu_->peer(), *state_, header, deadline);
}

client::Result<void> Guest::go_on(const StateHeader& header, Place place, Deadline deadline) {
  if (auto goes = set_going(header, deadline); !goes) return goes;
  return note_going(header, place, deadline);
}

/// If it may run from here on, that was what it was frozen for: also where no answer came.
client::Result<void> Guest::set_going(const StateHeader& header, Deadline deadline) {
  client::Result<void> goes;
  if (header.ran) goes = continue_guest(qemu_->peer(), deadline);
  if (goes || resumed_ || goes.error().code == ETIMEDOUT) motion_ = Motion::running;
  return goes;
}

client::Result<void> Guest::note_going(const StateHeader& header, Place place, Deadline deadline) {
  const auto stopped = usec_since(header.stopped_at);
  auto state = run_state(qemu_->peer(), deadline);
  if (!state) return state.error();
  stood_as_ = *state;
  put_back();
  runs_again({place == Place::next_kernel, stopped, header.state_bytes});
  return {};
}

/// The configuration may ask for more room than the earlier kernel had.
client::Result<void> Guest::renew_state_room() {
  if (state_->size() == config_.state) return {};
  auto state = StateMemory::make(options_.name + "-state", config_.state);
  if (!state) return state.error();
  *state_ = std::move(*state);
  return {};
}

}  // namespace handover::vmm

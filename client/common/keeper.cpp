// SPDX-License-Identifier: LGPL-2.1-or-later
#include "keeper.h"

#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "command.h"
#include "file.h"
#include "log.h"

namespace handover::common {

namespace {

constexpr std::uint64_t ready_poll_usec = 20'000;
constexpr std::uint64_t still_poll_usec = 500;
// Each look goes through all of /proc, and there is no limit to how late a stop may come.
constexpr std::uint64_t first_late_stop_poll_usec = 10'000;
constexpr std::uint64_t longest_late_stop_poll_usec = 1'000'000;
constexpr std::uint64_t default_freeze_timeout_usec = 5'000'000;
// A daemon that is gone for so long can neither finish the update nor thaw anyone.
constexpr std::uint64_t orphan_usec = 60'000'000;

}  // namespace

Keeper::Keeper(KeeperOptions options, sd_event* event, client::Connection connection,
               std::unique_ptr<Kept> kept)
    : options_(std::move(options)),
      event_(event),
      connection_(std::move(connection)),
      preservation_(connection_, options_.name, options_.backend),
      kept_(std::move(kept)) {}

Keeper::~Keeper() = default;

client::Result<void> Keeper::start(int* exit_code) {
  *exit_code = own_failure;
  // Registering goes first: in a new kernel, Restore waits for nothing but this.
  client::Client::Options registration;
  registration.needs = options_.needs;
  registration.optional = options_.optional;
  registration.prepare_timeout_usec = options_.prepare_timeout_usec;
  registration.freeze_timeout_usec = options_.freeze_timeout_usec;
  registration.restore_timeout_usec = options_.restore_timeout_usec;
  auto registered = register_owner(this, connection_, options_.name, registration);
  if (!registered) return registered.error();
  client_.emplace(std::move(*registered));

  if (auto watched = watch_signals(); !watched) return watched;
  auto freezer = make_freezer(options_.freeze);
  if (!freezer) return freezer.error();
  freezer_ = std::move(*freezer);

  if (client_->state() == HANDOVER_CLIENT_RESTORING) return {};  // on_restore() goes on
  return begin(exit_code);
}

/// The first start, once all is there that it needs.
client::Result<void> Keeper::begin(int* exit_code) {
  *exit_code = own_failure;
  auto ready = kept_->ready();
  if (ready && !*ready) {
    ready_timer_.start(ready_poll_usec);
    return {};
  }
  auto made = ready ? make() : ready.error();
  if (!made) {
    leave_handoverd(connection_, preservation_, client_);
    return made;
  }
  auto started = run_command(false);
  if (!started) {
    *exit_code = started.error().code == ENOENT ? not_found : cannot_run;
    leave_handoverd(connection_, preservation_, client_);
  }
  return started;
}

client::Result<void> Keeper::watch_signals() {
  auto watched = signals_.attach(event_, {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2},
                                 [this](int signal) { on_signal(signal); });
  if (!watched) return watched;
  if (auto made = ready_timer_.attach(event_, [this] { look_whether_ready(); }); !made) return made;
  if (auto made = still_timer_.attach(event_, [this] { look_whether_still(); }); !made) return made;
  if (auto made = late_stop_timer_.attach(event_, [this] { look_for_late_stop(); }); !made) {
    return made;
  }
  if (auto made = preservation_.attach(event_); !made) return made;
  return orphan_timer_.attach(event_, [this] {
    say(SD_WARNING, "handoverd did not come back: the command goes on.");
    if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  });
}

/// The first start: all is new, and preserved before anybody uses it.
client::Result<void> Keeper::make() {
  if (auto made = kept_->make(); !made) return made;
  return preservation_.begin(kept_->items());
}

client::Result<void> Keeper::run_command(bool restored) {
  Start start;
  start.arguments = options_.command;
  start.restored = restored;
  start.cgroup_procs = freezer_->procs_fd();
  kept_->hand_over(start);
  auto child = start_command(start);
  if (!child) return child.error();
  child_ = *child;
  motion_ = Motion::running;

  auto watched =
      watched_.watch(event_, child_, [this](const siginfo_t& info) { on_command_changed(info); });
  if (!watched) return watched;
  const std::string status = kept_->status();
  sd_notifyf(0, "READY=1\nSTATUS=%s: %s runs as process %d%s%s", options_.name.c_str(),
             options_.command.front().c_str(), static_cast<int>(child_), status.empty() ? "" : "; ",
             status.c_str());
  return {};
}

void Keeper::on_prepare(client::Call call) {
  if (child_ == 0) {
    call.fail("The command of '" + options_.name + "' has not been started yet.");
    return;
  }
  preservation_.attempt();
  if (!preservation_.complete()) {
    call.fail("Not preserved: " + kept_->what() + " of '" + options_.name +
              "': " + preservation_.reason());
    return;
  }
  if (auto session = connection_.get_session(options_.name)) kept_->prepare(*session);
  call.done();
}

void Keeper::on_freeze(client::Call call) {
  if (child_ == 0 || motion_ == Motion::still) {
    call.done();
    return;
  }
  if (freeze_call_) {
    call.fail("The command is being stopped already.");
    return;
  }
  if (motion_ == Motion::running) {
    if (auto asked = freezer_->freeze(child_); !asked) {
      call.fail(asked.error().message);
      return;
    }
  }
  motion_ = Motion::stopping;
  // A tenth is left for the answer to arrive in time.
  const std::uint64_t limit =
      call.timeout_usec() ? call.timeout_usec() / 10 * 9 : default_freeze_timeout_usec;
  freeze_deadline_ = now_usec() + limit;
  freeze_call_.emplace(std::move(call));
  look_whether_still();
}

void Keeper::look_whether_still() {
  if (!freeze_call_) return;
  // One that has just ended moves no more either, but on_command_changed() is to tell of it.
  siginfo_t ended = {};
  if (waitid(P_PID, static_cast<id_t>(child_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
      ended.si_pid == child_) {
    return;
  }
  auto still = come_to_rest();
  if (still && *still) {
    freeze_call_->done();
    freeze_call_.reset();
    return;
  }
  if (!still || now_usec() >= freeze_deadline_) {
    const std::string reason =
        still ? "The command of '" + options_.name + "' did not come to a standstill in time."
              : still.error().message;
    if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
    if (freeze_call_) freeze_call_->fail(reason);
    freeze_call_.reset();
    return;
  }
  still_timer_.start(still_poll_usec);
}

/// Does COMMAND stand still, and with it all that is kept for it?
client::Result<bool> Keeper::come_to_rest() {
  auto still = freezer_->is_still(child_);
  if (!still || !*still) return still;
  motion_ = Motion::still;
  if (auto quiet = kept_->quiesce(); !quiet) return quiet.error();
  return true;
}

client::Result<void> Keeper::thaw() {
  orphan_timer_.stop();
  if (child_ == 0 || motion_ == Motion::running) return {};
  auto resumed = kept_->resume();
  // COMMAND goes on in any case: nobody asks again, and it can do without better than stand still.
  auto thawed = freezer_->thaw(child_);
  if (!thawed) return thawed;
  motion_ = Motion::running;
  late_stop_poll_usec_ = first_late_stop_poll_usec;
  if (freezer_->may_stop_late()) late_stop_timer_.start(late_stop_poll_usec_);
  return resumed;
}

/// COMMAND may do what an update asked for when that update is long given up, and nobody else would
/// ever let it go on. The next update takes over: a stop in it counts for it, and what is then
/// still to come is looked for after its thaw.
void Keeper::look_for_late_stop() {
  if (child_ == 0 || motion_ != Motion::running || !freezer_->may_stop_late()) return;
  if (auto still = freezer_->is_still(child_); still && *still) {
    say(SD_NOTICE, "The command of '" + options_.name +
                       "' came to a standstill after the update was given up: it goes on.");
    if (auto thawed = freezer_->thaw(child_); !thawed) say(SD_ERR, thawed.error().message);
  }
  late_stop_poll_usec_ = std::min(late_stop_poll_usec_ * 2, longest_late_stop_poll_usec);
  if (freezer_->may_stop_late()) late_stop_timer_.start(late_stop_poll_usec_);
}

void Keeper::on_thaw(client::Call call) {
  auto thawed = thaw();
  if (freeze_call_) {  // the daemon gave up waiting for it
    freeze_call_->fail("The update was given up.");
    freeze_call_.reset();
  }
  if (thawed) {
    call.done();
  } else {
    call.fail(thawed.error().message);
  }
  if (preservation_.in_doubt()) preservation_.attempt_soon();
}

void Keeper::on_restore(client::Call call) {
  if (child_ != 0) {
    restored(std::move(call), restore());
    return;
  }
  restore_call_.emplace(std::move(call));
  look_whether_ready();
}

void Keeper::look_whether_ready() {
  if (!restore_call_) {
    int exit_code = 0;
    if (auto begun = begin(&exit_code); !begun) {
      say(SD_ERR, begun.error().message);
      leave(exit_code);
    }
    return;
  }
  auto ready = kept_->ready();
  if (ready && !*ready) {
    ready_timer_.start(ready_poll_usec);
    return;
  }
  auto call = std::move(*restore_call_);
  restore_call_.reset();
  restored(std::move(call), ready ? restore() : ready.error());
}

void Keeper::restored(client::Call call, const client::Result<void>& outcome) {
  if (!outcome) {
    const auto& error = outcome.error();
    say(SD_ERR,
        "Did not come back: " + kept_->what() + " of '" + options_.name + "': " + error.message);
    call.fail(error.message);
    if (child_ == 0) {
      // Something new in place of the old would be a silent loss. The daemon keeps what is in the
      // session for the next start; if that comes too late, it is a fresh one.
      leave(own_failure);
      return;
    }
    // No kernel was booted, and COMMAND still has all of it, whatever the daemon lost.
    if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
    preservation_.begin_again(kept_->items());
    return;
  }
  call.done();
  // For the next update. The daemon finishes the incoming session of this name upon the answer.
  preservation_.begin_again(kept_->items());
}

client::Result<void> Keeper::restore() {
  preservation_.lost();
  auto session = connection_.get_session(options_.name);
  if (!session) return session.error();
  if (child_ == 0) {
    if (auto back = kept_->retrieve(*session); !back) return back;
    return run_command(true);
  }
  // No kernel was booted (the emulated backend), so COMMAND is still there, and has all it had.
  auto same = kept_->compare(*session);
  // The daemon died after it gave everything back, and asks once more (docs/dbus.md, Restore).
  if (!same && !same.error().is("AlreadyRetrieved")) return same;
  return thaw();
}

void Keeper::on_registered(client::Client::State state) {
  if (state != HANDOVER_CLIENT_NEW) return;  // Restore or Thaw comes; both see to everything
  // The daemon is another one, and not in an update of ours.
  orphan_timer_.stop();
  if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  preservation_.attempt();
}

void Keeper::on_disconnected(const client::Error& error) {
  say(SD_NOTICE, error.message);
  preservation_.doubt();
  if (motion_ == Motion::running) return;
  orphan_timer_.start(orphan_usec);
}

void Keeper::on_signal(int signal) {
  const bool ending = signal == SIGTERM || signal == SIGINT || signal == SIGQUIT;
  if (child_ == 0) {
    if (ending) leave(0);
    return;
  }
  if (ending && motion_ == Motion::still) {
    // The orderly way into the next kernel: what is preserved is the kernel's already, and COMMAND
    // must not touch it again.
    if (auto killed = freezer_->kill(child_); !killed) say(SD_ERR, killed.error().message);
    leave(0);
    return;
  }
  if (kill(-child_, signal) < 0 && errno != ESRCH) {
    say(SD_ERR, errno_error("Cannot pass the signal on").message);
  }
  if (ending) {
    if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  }
}

void Keeper::on_command_changed(const siginfo_t& info) {
  const bool exited = info.si_code == CLD_EXITED;
  const bool stood_still = motion_ == Motion::still;
  child_ = 0;
  if (freeze_call_) {
    freeze_call_->fail("The command of '" + options_.name + "' has ended.");
    freeze_call_.reset();
  }
  // Nobody needs what was kept any more, unless an update has begun that may bring it back.
  if (!stood_still) leave_handoverd(connection_, preservation_, client_);
  leave(exited ? info.si_status : 128 + info.si_status);
}

void Keeper::leave(int exit_code) {
  sd_notify(0, "STOPPING=1");
  sd_event_exit(event_, exit_code);
}

}  // namespace handover::common

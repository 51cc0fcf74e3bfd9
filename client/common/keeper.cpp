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
constexpr std::uint64_t stray_poll_usec = 50'000;
/// A helper of a moment is gone by then.
constexpr std::uint64_t stray_usec = 2'000'000;
constexpr std::uint64_t default_freeze_timeout_usec = 5'000'000;
constexpr std::uint64_t default_restore_timeout_usec = 60'000'000;
constexpr std::uint64_t busy_poll_usec = 200'000;
/// COMMAND that is to be started anew has so long to end.
constexpr std::uint64_t end_usec = 30'000'000;
constexpr std::uint64_t leave_poll_usec = 20'000;
/// What a failed COMMAND leaves is to be preserved within this time.
constexpr std::uint64_t leave_usec = 20'000'000;
// A daemon that is gone for so long can neither finish the update nor thaw anyone.
constexpr std::uint64_t orphan_usec = 60'000'000;

/// A tenth is left for the answer to arrive in time.
std::uint64_t deadline_of(const client::Call& call, std::uint64_t otherwise_usec) {
  return now_usec() + (call.timeout_usec() ? call.timeout_usec() / 10 * 9 : otherwise_usec);
}

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
  there_deadline_ = now_usec() + options_.wait_usec;
  if (!options_.runtime_directory.empty()) {
    auto opened =
        restart_.open(event_, options_.runtime_directory, options_.name,
                      [this](RestartRequest request) { on_restart_requested(std::move(request)); });
    if (!opened) say(SD_NOTICE, "'restart' cannot reach this client: " + opened.error().message);
  }

  if (client_->state() == HANDOVER_CLIENT_RESTORING) return {};  // on_restore() goes on
  return begin(exit_code);
}

/// The first start, once all is there that it needs.
client::Result<void> Keeper::begin(int* exit_code) {
  *exit_code = own_failure;
  auto there = all_is_there();
  if (there && !*there) {
    ready_timer_.start(ready_poll_usec);
    return {};
  }
  auto restored = there ? take_or_make() : there;
  if (!restored) {
    if (is_passing(restored.error()) && now_usec() < there_deadline_) {
      ready_timer_.start(busy_poll_usec);
      return {};
    }
    abandon();
    // What is kept may be there again after the next update, or be given up by a person.
    if (there && !is_new_ && !is_passing(restored.error())) *exit_code = state_unusable;
    return restored.error();
  }
  auto started = run_command(*restored ? Contents::unfinished : Contents::fresh);
  if (started) return {};
  *exit_code = started.error().code == ENOENT ? not_found : cannot_run;
  if (*restored && !preservation_.complete()) {
    // Only this process has it: it was taken out of an incoming session.
    say(SD_ERR, started.error().message);
    leave_when_preserved(*exit_code);
    return {};
  }
  abandon();
  return started;
}

/// This start failed. What an earlier run left stays for the next one, and no update is to go
/// without it; what is new is nobody's.
void Keeper::abandon() {
  if (!connection_.connected()) return;
  if (options_.keep_on_failure && !is_new_) {
    auto session = connection_.get_session(options_.name);
    if (session && session->tokens()) return;
  }
  leave_handoverd(connection_, preservation_, client_);
}

/// Is all there that COMMAND is to find? An error if it is not, and the time is over.
client::Result<bool> Keeper::all_is_there() {
  const auto missing = what_is_missing(options_.wait_for);
  if (missing.empty()) return kept_->ready();
  if (now_usec() >= there_deadline_) return client::Error{"", missing, ENOENT};
  if (!std::exchange(told_missing_, true)) {
    say(SD_NOTICE, missing);
    sd_notifyf(0, "STATUS=%s", missing.c_str());
  }
  return false;
}

/// True: COMMAND goes on with what an earlier run of it preserved.
client::Result<bool> Keeper::take_or_make() {
  auto back = take_back();
  if (!back || *back) return back;
  if (auto made = make(); !made) return made.error();
  return false;
}

/// What an earlier run preserved is still there if that failed, was killed, or came too late for
/// the end of an update.
client::Result<bool> Keeper::take_back() {
  if (!options_.keep_on_failure) return false;
  auto session = connection_.get_session(options_.name);
  if (!session) return session.error();
  auto tokens = session->tokens();
  if (!tokens && tokens.error().is("NoSuchSession")) return false;
  if (!tokens) return tokens.error();
  if (tokens->empty()) return false;  // it was just made
  auto back = kept_->retrieve(*session);
  if (!back && back.error().is("NoSuchToken") && session->discard()) {
    // A run that was killed before all was preserved: no COMMAND can go on with a part.
    say(SD_WARNING, "An earlier run of '" + options_.name + "' had not preserved all of " +
                        kept_->what() + ": it begins anew.");
    return false;
  }
  if (!back) {
    const auto& error = back.error();
    return client::Error{error.name,
                         "An earlier run of '" + options_.name + "' left " + kept_->what() + ": " +
                             error.message + " 'handoverctl session discard " + options_.name +
                             "' gives it up.",
                         error.code};
  }
  auto finished = session->finish();
  if (finished) {
    preservation_.begin_again(kept_->items());
    preservation_.attempt();
  } else if (finished.error().is("NotIncoming")) {
    preservation_.go_on_with(kept_->items());
  } else {
    return finished.error();
  }
  say(SD_NOTICE,
      "The command of '" + options_.name + "' goes on with " + kept_->what() + " of its last run.");
  return true;
}

client::Result<void> Keeper::watch_signals() {
  auto watched = signals_.attach(event_, {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2},
                                 [this](int signal) { on_signal(signal); });
  if (!watched) return watched;
  if (auto made = ready_timer_.attach(event_, [this] { look_whether_ready(); }); !made) return made;
  if (auto made = still_timer_.attach(event_, [this] { look_whether_still(); }); !made) return made;
  if (auto made = stray_timer_.attach(event_, [this] { look_for_strays(); }); !made) return made;
  if (auto made = late_stop_timer_.attach(event_, [this] { look_for_late_stop(); }); !made) {
    return made;
  }
  if (auto made = leave_timer_.attach(event_, [this] { look_whether_preserved(); }); !made) {
    return made;
  }
  auto made = kill_timer_.attach(event_, [this] {
    if (child_ == 0) return;
    if (motion_ != Motion::running) return kill_timer_.start(end_usec);  // an update came first
    if (auto killed = freezer_->kill(child_); !killed) say(SD_ERR, killed.error().message);
  });
  if (!made) return made;
  if (made = preservation_.attach(event_); !made) return made;
  return orphan_timer_.attach(event_, [this] {
    say(SD_WARNING, "handoverd did not come back: the command goes on.");
    if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  });
}

/// The first start: all is new, and preserved before anybody uses it.
client::Result<void> Keeper::make() {
  is_new_ = true;
  if (auto made = kept_->make(); !made) return made;
  return preservation_.begin(kept_->items());
}

client::Result<void> Keeper::run_command(Contents contents) {
  Start start;
  start.arguments = options_.command;
  start.restored = contents != Contents::fresh;
  start.quiesced = contents != Contents::unfinished;
  start.cgroup_procs = freezer_->procs_fd();
  start.descriptors = options_.inherited;
  if (!options_.user.empty() || !options_.group.empty()) {
    auto identity = find_identity(options_.user, options_.group);
    if (!identity) return identity.error();
    start.identity = std::move(*identity);
  }
  if (options_.notify && notify_.address().empty()) {
    const auto user = start.identity ? start.identity->user : getuid();
    auto opened = notify_.open(event_, user, [this] { on_ready(); });
    if (!opened) return opened;
  }
  start.notify_socket = notify_.address();
  kept_->hand_over(start);
  auto child = start_command(start);
  if (!child) return child.error();
  child_ = *child;
  passed_on_.clear();
  motion_ = Motion::running;
  ready_ = !options_.notify;

  auto watched =
      watched_.watch(event_, child_, [this](const siginfo_t& info) { on_command_changed(info); });
  if (!watched) return watched;
  if (ready_) tell_running();
  return {};
}

void Keeper::tell_running() {
  const std::string status = kept_->status();
  sd_notifyf(0, "READY=1\nSTATUS=%s: %s runs as process %d%s%s", options_.name.c_str(),
             options_.command.front().c_str(), static_cast<int>(child_), status.empty() ? "" : "; ",
             status.c_str());
}

/// COMMAND said so.
void Keeper::on_ready() {
  if (child_ == 0 || std::exchange(ready_, true)) return;
  tell_running();
  if (!ready_call_) return;
  auto call = std::move(*ready_call_);
  ready_call_.reset();
  settle_restore(std::move(call));
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
  if (prepare_call_) prepare_call_->fail("Prepare was called once more.");
  prepare_call_.emplace(std::move(call));
  strays_.reset();
  stray_deadline_ = std::min(now_usec() + stray_usec, deadline_of(*prepare_call_, stray_usec));
  look_for_strays();
}

/// Who runs on in a freeze may write into memory that is handed over. Only who stays is in the way.
void Keeper::look_for_strays() {
  if (!prepare_call_) return;
  auto strays = strays_that_stay();
  const bool may_veto = options_.freeze.kind == FreezeMethod::Kind::automatic;
  if (strays && !strays->empty() && may_veto && now_usec() < stray_deadline_) {
    stray_timer_.start(stray_poll_usec);
    return;
  }
  auto call = std::move(*prepare_call_);
  prepare_call_.reset();
  if (!strays || (may_veto && !strays->empty())) {
    call.fail(strays ? stray_is_in_the_way(strays->front()) : strays.error().message);
    return;
  }
  // Who chose the method knows.
  if (!strays->empty()) say(SD_WARNING, about_stray(strays->front()) + ".");
  if (auto session = connection_.get_session(options_.name)) kept_->prepare(*session);
  call.done();
}

/// Those that there were at each look since the first one.
client::Result<std::vector<std::string>> Keeper::strays_that_stay() {
  auto now = freezer_->out_of_reach(child_);
  if (!now) return now;
  if (strays_) {
    std::erase_if(*strays_, [&](const std::string& stray) {
      return std::find(now->begin(), now->end(), stray) == now->end();
    });
  } else {
    strays_ = std::move(*now);
  }
  return *strays_;
}

std::string Keeper::about_stray(const std::string& stray) const {
  return "Process " + stray + " of the command of '" + options_.name +
         "' has left its process group, and a stop would not reach it";
}

std::string Keeper::stray_is_in_the_way(const std::string& stray) const {
  return about_stray(stray) + ": freeze by cgroup, or by sigstop if it does not use " +
         kept_->what() + ".";
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
  freeze_deadline_ = deadline_of(call, default_freeze_timeout_usec);
  strays_.reset();
  stray_deadline_ = 0;
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
  still_timer_.start(stray_deadline_ != 0 ? stray_poll_usec : still_poll_usec);
}

/// Does COMMAND stand still, and with it all that is kept for it?
client::Result<bool> Keeper::come_to_rest() {
  auto still = freezer_->is_still(child_);
  if (!still || !*still) return still;
  if (options_.freeze.kind == FreezeMethod::Kind::automatic) {
    // One may have come since Prepare.
    auto strays = strays_that_stay();
    if (!strays) return strays.error();
    if (!strays->empty()) {
      if (stray_deadline_ == 0) stray_deadline_ = now_usec() + stray_usec;
      if (now_usec() < std::min(stray_deadline_, freeze_deadline_)) return false;
      return client::Error{"", stray_is_in_the_way(strays->front()), EBUSY};
    }
  }
  motion_ = Motion::still;
  if (auto quiet = kept_->quiesce(); !quiet) return quiet.error();
  return true;
}

client::Result<void> Keeper::thaw() {
  orphan_timer_.stop();
  if (child_ == 0 || (motion_ == Motion::running && !to_resume_)) return {};
  auto resumed = kept_->resume();
  to_resume_ = !resumed;
  if (motion_ == Motion::running) return resumed;
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
    const bool quiesced = call.quiesced();
    restored(std::move(call), restore(quiesced));
    return;
  }
  if (leaving_) {
    call.fail("The command of '" + options_.name + "' has ended; it is started anew.");
    return;
  }
  there_deadline_ = deadline_of(call, default_restore_timeout_usec);
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
  auto there = all_is_there();
  if (there && !*there) {
    ready_timer_.start(ready_poll_usec);
    return;
  }
  auto call = std::move(*restore_call_);
  restore_call_.reset();
  const bool quiesced = call.quiesced();
  restored(std::move(call), there ? restore(quiesced) : there.error());
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
  if (ready_) {
    settle_restore(std::move(call));
  } else {
    ready_call_.emplace(std::move(call));  // until COMMAND says READY=1, or ends
  }
}

void Keeper::settle_restore(client::Call call) {
  call.done();
  // For the next update. The daemon finishes the incoming session of this name upon the answer.
  preservation_.begin_again(kept_->items());
}

client::Result<void> Keeper::restore(bool quiesced) {
  preservation_.lost();
  auto session = connection_.get_session(options_.name);
  if (!session) return session.error();
  if (child_ == 0) {
    if (auto back = kept_->retrieve(*session); !back) return back;
    return run_command(quiesced ? Contents::as_frozen : Contents::unfinished);
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
    if (ending) leave(leaving_.value_or(0));
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
  passed_on_.insert(signal);
  if (!ending) return;
  asked_to_end_ = true;
  if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  // Whoever stopped it: it cannot end before it goes on.
  (void)kill(-child_, SIGCONT);
}

void Keeper::on_command_changed(const siginfo_t& info) {
  const auto end = command_end(info);
  const bool stood_still = motion_ == Motion::still;
  const bool asked_to = asked_to_end_ || (!end.exited && passed_on_.count(end.status) != 0);
  const bool failed = is_failure(end, asked_to, has_terminal(child_));
  take_terminal_back(child_);
  const pid_t group = std::exchange(child_, 0);
  if (freeze_call_) {
    freeze_call_->fail("The command of '" + options_.name + "' has ended.");
    freeze_call_.reset();
  }
  if (prepare_call_) {
    prepare_call_->fail("The command of '" + options_.name + "' has ended.");
    prepare_call_.reset();
  }
  if (ready_call_) {
    // All of it is in the session of the earlier kernel, for the next start.
    const auto sentence =
        "The command of '" + options_.name + "' " + describe(end) + " before it was ready.";
    say(SD_ERR, sentence);
    ready_call_->fail(sentence);
    ready_call_.reset();
    return leave(end.exit_code());
  }
  const bool anew = restart_request_ && !stood_still && !asked_to_end_;
  if (anew || (failed && options_.keep_on_failure)) {
    // What is left of it must not write into what the next one has.
    if (auto killed = freezer_->kill(group); !killed) say(SD_ERR, killed.error().message);
  }
  if (anew) return restart_now(end, group);
  // An update has begun that may bring it back.
  if (stood_still) return leave(end.exit_code());
  if (failed && options_.keep_on_failure) {
    say(SD_ERR, "The command of '" + options_.name + "' " + describe(end) + ".");
    return leave_when_preserved(end.exit_code());
  }
  // Nobody needs what was kept any more.
  leave_handoverd(connection_, preservation_, client_);
  leave(end.exit_code());
}

void Keeper::on_restart_requested(RestartRequest request) {
  const auto refuse = [&](const std::string& why) {
    request.answer("The command of '" + options_.name + "' " + why);
  };
  if (child_ == 0 || leaving_ || asked_to_end_) return refuse("does not run now.");
  if (restart_request_) return refuse("is being started anew already.");
  if (motion_ != Motion::running || ready_call_) {
    return refuse("is in an update: ask again when that is over.");
  }
  restart_request_.emplace(std::move(request));
  if (kill(-child_, SIGTERM) < 0 && errno != ESRCH) {
    say(SD_ERR, errno_error("Cannot end the command").message);
  }
  (void)kill(-child_, SIGCONT);
  kill_timer_.start(end_usec);
}

/// COMMAND has ended since it was asked to; all that is kept is here.
void Keeper::restart_now(const CommandEnd& end, pid_t group) {
  kill_timer_.stop();
  auto request = std::move(*restart_request_);
  restart_request_.reset();
  // An update may have begun to stop the old one.
  if (auto thawed = freezer_->thaw(group); !thawed) say(SD_ERR, thawed.error().message);
  auto started = kept_->renew();
  if (started) started = run_command(end.exited ? Contents::as_frozen : Contents::unfinished);
  if (started) return request.answer("");
  say(SD_ERR, started.error().message);
  request.answer(started.error().message);
  const int exit_code = started.error().code == ENOENT ? not_found : cannot_run;
  if (options_.keep_on_failure) return leave_when_preserved(exit_code);
  leave_handoverd(connection_, preservation_, client_);
  leave(exit_code);
}

/// The next start goes on with what is kept; after Restore it may not be preserved again yet.
void Keeper::leave_when_preserved(int exit_code) {
  leaving_ = exit_code;
  leave_deadline_ = now_usec() + leave_usec;
  look_whether_preserved();
}

void Keeper::look_whether_preserved() {
  preservation_.attempt();
  if (preservation_.complete()) {
    say(SD_NOTICE, "The next start of '" + options_.name + "' goes on with " + kept_->what() + ".");
    return leave(*leaving_);
  }
  if (preservation_.refused_for_good() || now_usec() >= leave_deadline_) {
    say(SD_ERR, "The next start of '" + options_.name + "' has to do without " + kept_->what() +
                    ", which could not be preserved: " + preservation_.reason());
    return leave(*leaving_);
  }
  leave_timer_.start(leave_poll_usec);
}

void Keeper::leave(int exit_code) {
  sd_notify(0, "STOPPING=1");
  sd_event_exit(event_, exit_code);
}

}  // namespace handover::common

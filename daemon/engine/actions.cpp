// SPDX-License-Identifier: LGPL-2.1-or-later
// The update's steps: asked for, waiting, frozen, sealed, out of this kernel, or undone.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/text.h"
#include "engine/engine.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// In the blackout dirty pages are those of the last moments: all was written out just before.
constexpr std::uint64_t blackout_sync_usec = 1'000'000;

/// How often PID 1 is asked to take its kexec back while it cannot be reached, and for how long.
constexpr std::uint64_t withdrawal_pause_usec = 500'000;
constexpr std::uint64_t longest_withdrawal_usec = 180'000'000;
/// The same for a PID 1 that is there and does not answer: what it was asked is in its queue.
constexpr std::uint64_t longest_silence_usec = 120'000'000;

std::string describe(const Caller& caller) {
  return "uid " + std::to_string(caller.owner.uid) +
         (caller.owner.unit.empty() ? "" : " (" + caller.owner.unit + ")");
}

std::optional<Rehearsal> rehearsal_of(JobType type, const UpdateOptions& options) {
  if (type != JobType::rehearse) return std::nullopt;
  Rehearsal rehearsal;
  rehearsal.at_most_usec = options.at_most_usec;
  return rehearsal;
}

}  // namespace

// ---- asked for

void Engine::request(JobType type, const UpdateOptions& options, const Caller& caller,
                     Reply<std::uint64_t> started) {
  ask_for(type, options, caller, std::move(started), /*named=*/false);
}

/// An update of what is prepared, perhaps: another word for the same kernel is no other target.
void Engine::compare_kernels(JobType type, const UpdateOptions& options, const Caller& caller,
                             Reply<std::uint64_t> started) {
  host_.run(target_queue,
            [this, alive = alive_, type, options, caller, started = std::move(started),
             id = update_.record()->id, prepared = update_.options]() -> std::function<void()> {
              const bool same = run_or_fail("comparing kernels", [&] {
                return host_.means_prepared(options.kernel, prepared);
              });
              return [this, alive, type, options, caller, started, id, same] {
                if (!*alive) return;
                auto asked = options;
                const bool still = update_.record() && update_.record()->id == id;
                if (same && still) asked.kernel = update_.options.kernel;
                ask_for(type, asked, caller, started, /*named=*/true);
              };
            });
}

/// `named`: it is known whether the kernel is the prepared one.
void Engine::ask_for(JobType type, const UpdateOptions& options, const Caller& caller,
                     Reply<std::uint64_t> started, bool named) {
  const bool go_on = state_ == State::prepared && type != JobType::prepare && !update_.job;
  if (!events_.empty()) {
    return started(fail(passing(Error{ErrorCode::busy,
                                      "Another update is just being asked for, or ends; try again "
                                      "in a moment.",
                                      0})));
  }
  if ((state_ != State::normal && !go_on) || update_.failure()) {
    return started(
        fail(ErrorCode::busy, "An update is already in state " + std::string(to_string(state_)) +
                                  "; wait for it, or cancel it with 'handoverctl cancel'."));
  }
  if (terminated_) {
    return started(fail(ErrorCode::busy, "handoverd is being stopped; ask again when it is back."));
  }
  if (go_on && names_another_kernel(options, update_.options) && !named) {
    return compare_kernels(type, options, caller, std::move(started));
  }
  if (go_on && !asks_for_another_target(options, update_.options)) {
    update_.job = Job{update_.record()->id, type, JobPhase::load, 80, "Going on from prepared."};
    outside_.job_added(update_.job->id);
    outside_.manager_changed("CurrentJob");
    started(update_.job->id);
    update_.options.allow.insert(options.allow.begin(), options.allow.end());
    update_.rehearse(rehearsal_of(type, options));
    journal_.note_update();
    end_looks();
    asked_freeze_ = false;
    update_.first_round();
    return post(Event::going_on);
  }
  new_update(type, go_on ? going_on(options, update_.options) : options, caller);
  update_.started = std::move(started);
  post(go_on || type == JobType::prepare ? Event::prepare_requested : Event::update_requested);
}

void Engine::new_update(JobType type, const UpdateOptions& options, const Caller& caller) {
  auto asked = options;
  if (!asked.mode) asked.mode = setup_.config.mode;
  end_looks();
  end_trial();
  stop_ = false;
  hooks_run_ = false;
  asked_all_ = false;
  asked_freeze_ = false;
  after_target_.reset();
  const auto mode = emulated() ? Mode::emulated : *asked.mode;
  update_.begin(next_id_++, mode, std::move(asked), host_.kernel_release(), describe(caller),
                host_.ticks_per_second());
  update_.rehearse(rehearsal_of(type, options));
  log::set_update(update_.record()->id);
  mark(Mark::requested);
  journal_.note_head();
  update_.job = Job{update_.record()->id, type, JobPhase::preflight, 0, "Looking at the target."};
  log::event(log::Id::update_started, log::Level::info, {{log::Field::update, update_.job->id}},
             "Update ", update_.job->id, " is asked for by ", update_.record()->requested_by, ".");
  outside_.job_added(update_.job->id);
  outside_.manager_changed("CurrentJob");
}

/// In the first round everybody; later those who came since.
void Engine::prepare_clients(bool first) {
  set_job(JobPhase::prepare, 15, "Preparing clients.");
  const auto newcomers = update_.take_newcomers();
  start_pass(ClientCall::prepare, Event::clients_prepared, first ? nullptr : &newcomers);
}

void Engine::cancel(const Caller& /*caller*/, const Reply<void>& reply) {
  if (is_cancellable(state_) && update_.failure()) {
    return reply(fail(ErrorCode::nothing_to_cancel,
                      "The update is being undone already: " + update_.failure()->message));
  }
  if (thaws_to_prepared()) {
    cancel_wanted_ = true;
    return reply({});
  }
  if (!is_cancellable(state_)) {
    return reply(fail(ErrorCode::nothing_to_cancel,
                      state_ == State::normal
                          ? "No update runs, so there is nothing to cancel; "
                            "'handoverctl history' tells how the last one ended."
                          : "The update is in state " + std::string(to_string(state_)) +
                                ", where it cannot be cancelled any more."));
  }
  cancel_update("Cancelled on request.");
  reply({});
}

void Engine::cancel_update(const std::string& why) {
  end_looks();
  update_.fail(Error{ErrorCode::cancelled, why, 0});
  end_pass();
  sealing_ = false;
  freeze_waits_ = false;
  // The event follows when the job has let go.
  if (target_busy_) {
    stop_ = true;
    if (!after_target_) after_target_ = Event::cancel_requested;
  } else {
    post(Event::cancel_requested);
  }
}

Result<void> Engine::terminate(std::function<void()> done) {
  if (state_ == State::rebooting) {
    return fail(ErrorCode::busy,
                "The machine is leaving this kernel; handoverd goes on until it has.");
  }
  terminated_ = std::move(done);
  end_looks();
  leave_trial();
  if (is_cancellable(state_)) {
    log::warning("handoverd is being stopped: the update is undone first.");
    cancel_update("handoverd was stopped.");
  }
  hurry_told_hooks();
  wake();
  return {};
}

void Engine::tell_started(Result<std::uint64_t> result) {
  if (auto started = std::exchange(update_.started, nullptr)) started(std::move(result));
}

void Engine::mark(Mark mark) {
  update_.mark(mark, host_.now());
  journal_.note_update();
}

void Engine::set_job(JobPhase phase, unsigned progress, std::string detail) {
  if (!update_.job) return;
  update_.job->phase = phase;
  update_.job->progress = progress;
  update_.job->detail = std::move(detail);
  outside_.job_changed(update_.job->id);
}

// ---- prepared

void Engine::await_freeze() {
  if (!update_.job || update_.job->type == JobType::prepare) {
    set_job(JobPhase::prepared, 100, "Prepared: 'handoverctl update' goes on, 'cancel' undoes.");
    const auto id = update_.job ? update_.job->id : 0;
    update_.job.reset();
    outside_.manager_changed("CurrentJob");
    if (id != 0) outside_.job_removed(id, Outcome::done, "");
    return;
  }
  // Workloads run on, and clients may come and go: hooks take their time here.
  if (!setup_.config.hooks.in_blackout && !std::exchange(asked_freeze_, true)) {
    set_job(JobPhase::prepared, 82, "Running hooks.");
    undone_from_freeze_ = true;
    return run_hooks(HookStage::freeze, [this] { await_freeze(); });
  }
  // Clients that came while others were prepared have not been asked.
  if (!update_.any_newcomers()) return look_once_more([this] { post(Event::update_requested); });
  if (update_.next_round()) return post(Event::newcomers);
  const auto again = update_.take_newcomers();
  for (const auto& name : again) {
    auto* const client = clients_.find(name);
    if (client == nullptr) continue;
    const bool asked = update_.record()->timeline.clients.contains(name);
    const std::string why = asked ? "it registered again each time it was prepared"
                                  : "it came when the others were prepared already";
    if (client->required) {
      return fail_update(
          Error{ErrorCode::client_gone,
                std::string("Client '")
                    .append(name)
                    .append("' cannot be prepared: ")
                    .append(why)
                    .append(asked ? "; see 'systemctl status' of its service." : "; update again."),
                0},
          Culprit{name, ClientCall::prepare});
    }
    leave_out(*client, why + ".", ClientCall::prepare, ClientCall::cancel);
  }
  look_once_more([this] { post(Event::update_requested); });
}

/// Once there are no more rounds, one that is optional holds nobody up, however often it comes.
bool Engine::must_ask_newcomers() const {
  const auto& newcomers = update_.newcomers();
  if (newcomers.empty()) return false;
  return update_.any_round_left() ||
         std::any_of(newcomers.begin(), newcomers.end(), [this](const std::string& name) {
           const auto* const client = clients_.find(name);
           return client != nullptr && client->required;
         });
}

// ---- frozen

/// One that is required, in another phase, and not left out knowingly; nullptr: there is none.
const ClientRecord* Engine::required_but(ClientPhase phase) const {
  const auto& all = clients_.all();
  const auto it = std::find_if(all.begin(), all.end(), [&](const auto& one) {
    return one.second.required && one.second.phase != phase && !is_left_out(one.first);
  });
  return it == all.end() ? nullptr : &it->second;
}

bool Engine::is_left_out(const std::string& client) const {
  const auto& left_out = update_.record()->left_out;
  return std::any_of(left_out.begin(), left_out.end(),
                     [&](const LeftOut& left) { return left.client == client; });
}

void Engine::begin_freeze() {
  // Before anybody stands still.
  if (const auto* const client = required_but(ClientPhase::prepared)) {
    return fail_update(passing({ErrorCode::busy,
                                "Client '" + client->name +
                                    "' came when the others were prepared already; update again.",
                                0}),
                       Culprit{client->name, ClientCall::prepare});
  }
  set_job(JobPhase::freeze, 85, "Freezing clients.");
  // It leaves no kernel, so that no later one could miss anything by it.
  if (update_.rehearsing()) return freeze_when_idle();
  begin_budget(setup_.config.freeze_budget_usec);
  // Before the blackout: it waits for the disk. A host that stops before the reboot call has not
  // tried the target, so that nothing of it is in there yet.
  records_.write_pending(pending_record(""), [this, alive = alive_, id = update_.record()->id] {
    if (!*alive || state_ != State::freezing || update_.failure()) return;
    if (!update_.record() || update_.record()->id != id) return;
    freeze_when_idle();
  });
}

void Engine::freeze_when_idle() {
  freeze_waits_ = true;
  begin_budget(setup_.config.freeze_budget_usec);
  freeze_now();
}

/// Nobody stands still for what somebody preserved just before: nothing new comes in by now.
void Engine::freeze_now() {
  if (!freeze_waits_ || state_ != State::freezing || update_.failure() || !sessions_.idle()) return;
  freeze_waits_ = false;
  // Beside the freeze: PID 1 has time for that now.
  if (update_.options.mode == Mode::orderly && !emulated()) {
    store_for_orderly();
  }
  mark(Mark::freeze_begin);
  begin_budget(standstill_limit());
  const auto prepared = clients_.in({ClientPhase::prepared});
  start_pass(ClientCall::freeze, Event::clients_frozen, &prepared);
}

/// Anew at each step on the way to the freeze: what is before it takes nobody's time.
void Engine::begin_budget(std::uint64_t limit_usec) {
  budget_alarm_ = host_.after(limit_usec, [this] { budget_over(); });
}

/// From the first Freeze to the reboot call.
std::uint64_t Engine::standstill_limit() const {
  const auto budget = setup_.config.freeze_budget_usec;
  if (!update_.rehearsing()) return budget;
  const auto at_most = update_.record()->rehearsal->at_most_usec;
  return at_most == 0 ? budget : std::min(budget, at_most);
}

/// "session 'ram' of client 'db'".
std::string Engine::busy_sessions() const {
  std::vector<std::string> names;
  for (const auto& name : sessions_.busy()) {
    const auto& client = sessions_.find(name)->record.client;
    names.push_back(in_quotes(name) + (client.empty() ? "" : " of client " + in_quotes(client)));
  }
  if (names.empty()) return "a session that has just ended";
  return (names.size() == 1 ? "session " : "sessions ") + few_of(names);
}

/// Whose answer, or what, is missing.
std::string Engine::freeze_waits_for() const {
  if (pass_ && !pass_->called().empty()) {
    std::vector<std::string> names;
    for (const auto& name : pass_->called()) names.push_back(in_quotes(name));
    return (names.size() == 1 ? "client " : "clients ") + few_of(names);
  }
  if (hooks_run_) return "the hooks of stage freeze";
  if (!sessions_.idle()) return busy_sessions();
  if (state_ == State::freezing) return "the disk, which was to take the record of it";
  if (update_.marked(Mark::sealed)) return "the disk, to which the last writes went";
  if (!journal_.idle()) return "the manifest, which was not in preserved memory";
  return "the companion module's tables, which were not closed";
}

/// "freeze_budget (30000 ms)", or "was asked for (500 ms)" of a rehearsal.
std::string Engine::name_of_limit(std::uint64_t limit_usec) const {
  const bool own = limit_usec < setup_.config.freeze_budget_usec;
  return (own ? std::string("was asked for (") : std::string("freeze_budget (")) +
         std::to_string(limit_usec / 1000) + " ms)";
}

void Engine::budget_over() {
  if (state_ != State::freezing && state_ != State::frozen) return;
  // Only from the first Freeze on the rehearsal's own limit is the shorter one.
  const auto limit = freeze_waits_ ? setup_.config.freeze_budget_usec : standstill_limit();
  const auto budget = name_of_limit(limit);
  if (freeze_waits_) {
    return fail_update(Error{ErrorCode::timed_out,
                             "The kernel worked on " + busy_sessions() + " for longer than " +
                                 budget +
                                 ", and nobody is frozen before that is over; update again later.",
                             0});
  }
  std::optional<Culprit> culprit;
  if (pass_ && !pass_->called().empty()) {
    culprit = Culprit{*pass_->called().begin(), pass_->call()};
  }
  fail_update(
      Error{ErrorCode::timed_out,
            "The freeze took longer than " + budget + "; it waited for " + freeze_waits_for() + ".",
            0},
      std::move(culprit));
}

/// If we die while units stop, PID 1 still carries the manifest across (systemd >= 261).
void Engine::store_for_orderly() {
  sessions_.store_sessions_only();
  host_.run(manifest_queue,
            [this, alive = alive_, id = update_.record()->id,
             store = sessions_.keepers().manifest]() -> std::function<void()> {
              const auto kept =
                  sessions_.fd_store().keep_exactly(FdStore::manifest_prefix, store->stored_fds());
              return [this, alive, id, kept] {
                if (!*alive || kept) return;
                const bool in_time = (state_ == State::freezing || state_ == State::frozen) &&
                                     update_.record() && update_.record()->id == id;
                if (in_time && !update_.failure()) return fail_update(kept.error());
                log::warning(kept.error().message);
              };
            });
}

// ---- sealed

/// Every client is frozen. What they preserved just before must be in the kernel, and the manifest
/// in preserved memory.
void Engine::seal() {
  if (!setup_.config.hooks.in_blackout) return seal_frozen();
  set_job(JobPhase::freeze, 94, "Running hooks.");
  run_hooks(HookStage::freeze, [this] { seal_frozen(); });
}

void Engine::seal_frozen() {
  set_job(JobPhase::seal, 95, "Sealing the manifest.");
  if (auto* record = update_.edit()) {
    record->timeline.ticks_per_second = host_.ticks_per_second();
  }
  // Whoever is not frozen may write into its memory until the kexec.
  if (const auto* const client = required_but(ClientPhase::frozen)) {
    return fail_update(
        Error{ErrorCode::internal, "Client '" + client->name + "' is required, and runs on.", 0},
        Culprit{client->name, ClientCall::freeze});
  }
  std::set<std::string> told;
  for (const auto& left : update_.record()->left_out) told.insert(left.client);
  for (const auto& [name, client] : clients_.all()) {
    if (client.phase == ClientPhase::frozen || told.contains(name)) continue;
    note_left_out(name,
                  clients_.connected(client) ? "it came when the others were prepared already."
                                             : "it was not here.",
                  std::nullopt);
  }
  sealing_ = true;
  seal_now();
}

void Engine::seal_now() {
  if (!sealing_ || update_.failure() || state_ != State::frozen) return;
  if (!sessions_.idle()) return;  // sessions_idle() calls again
  if (!journal_.idle()) {
    return journal_.when_idle([this, alive = alive_](const Result<void>& written) {
      if (!*alive) return;
      // Without it the next kernel would know nothing of anybody.
      if (!written && sealing_) return fail_update(written.error());
      seal_now();
    });
  }
  sealing_ = false;
  if (auto whole = check_whole(); !whole) return fail_update(whole.error());
  const auto tables = sessions_.keepers().tables;
  if (!tables) return tables_closed({});
  // Last of all: whatever anybody preserved by now is in them, and nothing comes in any more.
  tables_open_ = false;
  run_target_job([this, tables]() -> std::function<void()> {
    const auto closed = tables->close();
    return [this, closed] { tables_closed(closed); };
  });
}

void Engine::tables_closed(const Result<void>& closed) {
  if (update_.failure()) return;
  if (!closed) return fail_update(closed.error());
  mark(Mark::sealed);
  if (update_.rehearsing()) return rehearse_reboot();
  post(Event::sealed);
}

// ---- out of this kernel

void Engine::kexec() {
  budget_alarm_.reset();
  set_job(JobPhase::kexec, 96, emulated() ? "Executing the daemon again." : "Leaving this kernel.");
  if (emulated()) return leave_kernel();
  const bool syncs = update_.options.mode != Mode::orderly;
  const auto one_is_over = [this, id = update_.record()->id,
                            left = std::make_shared<unsigned>(syncs ? 2 : 1)] {
    if (--*left != 0 || update_.failure() || state_ != State::rebooting) return;
    if (update_.record() && update_.record()->id == id) leave_kernel();
  };
  blame_target(one_is_over);
  if (syncs) sync_in_blackout(longest_blackout_sync(), one_is_over);
}

std::uint64_t Engine::longest_blackout_sync() const {
  return std::min(blackout_sync_usec, setup_.config.sync_timeout_usec);
}

/// Bounded: what other processes wrote since the sync before the freeze. The file systems' journals
/// are replayed either way.
void Engine::sync_in_blackout(std::uint64_t limit, std::function<void()> then) {
  auto watchdog = setup_.config.watchdog;
  // One that could not be stopped counts already.
  watchdog.device = update_.rehearsing() || watchdog_ ? "" : watchdog_of(update_.options);
  if (!watchdog.device.empty()) {
    watchdog_ = ArmedWatchdog{watchdog.device, watchdog.timeout_usec};
    journal_.note_head();
  }
  run_target_job([this, limit, watchdog, then = std::move(then)]() -> std::function<void()> {
    const auto unfinished = host_.sync(limit);
    const bool refused = !watchdog.device.empty() && !arm_watchdog(host_, watchdog);
    return [this, unfinished, limit, refused, then] {
      mark(Mark::synced);
      if (refused) forget_watchdog();
      if (!unfinished.empty()) {
        log::event(log::Id::sync_unfinished, log::Level::warning,
                   {{log::Field::count, unfinished.size()}, {log::Field::usec, limit}},
                   "Not all was written to ", with_commas(unfinished), " before the kexec.");
      }
      then();
    };
  });
}

void Engine::leave_kernel() {
  mark(Mark::kexec_called);
  log::event(log::Id::kexec_called, log::Level::info, {{log::Field::update, update_.record()->id}},
             "Leaving this kernel.");
  // From here the manifest in preserved memory says "rebooting": the new kernel's daemon goes on.
  if (auto written = journal_.flush(); !written) return fail_update(written.error());
  if (!journal_.idle()) {
    // There was no room behind the text: it is being made anew.
    return journal_.when_idle([this, alive = alive_](const Result<void>& kept) {
      if (!*alive || state_ != State::rebooting || update_.failure()) return;
      if (!kept) return fail_update(kept.error());
      leave_now();
    });
  }
  leave_now();
}

void Engine::tell_kexec_failed(const Error& error) const {
  log::event(log::Id::kexec_failed, log::Level::error,
             {{log::Field::update, update_.record()->id},
              {log::Field::code, std::string(to_string(error.code))}},
             error.message);
}

void Engine::kexec_failed(Error error) {
  tell_kexec_failed(error);
  fail_update(std::move(error));
}

void Engine::leave_now() {
  if (emulated()) {
    auto fds = sessions_.duplicate_all();
    for (const auto& stored : sessions_.keepers().manifest->stored_fds()) {
      fds.push_back({FdStore::stored_name(FdStore::manifest_prefix, stored.part),
                     UniqueFd(fcntl(stored.fd, F_DUPFD_CLOEXEC, 3))});
    }
    return kexec_failed(host_.execute_again(std::move(fds)));
  }
  if (update_.options.mode != Mode::orderly) return kexec_failed(host_.kexec());
  outside_.start_orderly_kexec([this, alive = alive_, id = update_.record()->id](Error error) {
    // It may be late: to fail what is being thawed, or the next update, would stop that one
    // half-way.
    if (!*alive || state_ != State::rebooting || !update_.record() || update_.record()->id != id) {
      return;
    }
    tell_kexec_failed(error);
    if (error.sys_errno == ETIMEDOUT) return fail_update(std::move(error));
    take_kexec_back([this, id, error = std::move(error)](const Result<void>& back) {
      if (state_ != State::rebooting || !update_.record() || update_.record()->id != id) return;
      auto whole = error;
      if (!back) whole.message += " " + back.error().message;
      fail_update(std::move(whole));
    });
  });
}

/// Nobody is thawed while PID 1 may still execute the kernel: the bus may be back in a moment.
void Engine::take_kexec_back(std::function<void(const Result<void>&)> then) {
  if (!withdrawing_since_) withdrawing_since_ = host_.now();
  outside_.withdraw_orderly_kexec([this, alive = alive_,
                                   then = std::move(then)](const Result<void>& done) mutable {
    if (!*alive) return;
    const auto waited = ticks_to_usec(host_.now() - *withdrawing_since_, host_.ticks_per_second());
    const bool silent = !done && done.error().sys_errno == ETIMEDOUT;
    const auto longest = silent ? longest_silence_usec : longest_withdrawal_usec;
    if (!done && done.error().nature == Nature::passing && waited < longest) {
      withdrawal_alarm_ = host_.after(
          withdrawal_pause_usec,
          [this, then = std::move(then)]() mutable { take_kexec_back(std::move(then)); });
      return;
    }
    withdrawing_since_.reset();
    if (!done) log::error("kexec.target's job could not be taken back: ", done.error().message);
    then(done);
  });
}

/// An earlier process of ours had asked PID 1 for the kexec, and PID 1 goes on with it.
void Engine::withdraw_kexec() {
  const auto& record = update_.record();
  if (!record || record->mode != Mode::orderly) return post(Event::kexec_withdrawn);
  take_kexec_back([this](const Result<void>& back) {
    if (!back) update_.add_to_failure(back.error().message);
    post(Event::kexec_withdrawn);
  });
}

// ---- undone, or over

void Engine::begin_thaw() {
  undone_from_freeze_ = true;
  budget_alarm_.reset();
  stop_watchdog();
  tables_problem_.reset();
  cancel_wanted_ = false;
  const bool rehearsed = update_.rehearsing() && !update_.failure();
  if (rehearsed) {
    set_job(JobPhase::thaw, 97, "Rehearsed: thawing clients.");
  } else {
    set_job(JobPhase::thaw, 0, "Undoing: thawing clients.");
  }
  const auto tables = sessions_.keepers().tables;
  if (!std::exchange(tables_open_, true) && tables) {
    host_.run(target_queue, [this, alive = alive_, tables]() -> std::function<void()> {
      const auto opened =
          run_or_fail("opening the module's tables", [&] { return tables->open(); });
      return [this, alive, opened] {
        if (opened) return;
        log::error(opened.error().message);
        if (*alive) tables_problem_ = opened.error();
      };
    });
  }
  if (update_.record() && update_.record()->mode == Mode::orderly) {
    sessions_.store_everything();
    host_.run(manifest_queue, [this]() -> std::function<void()> {
      if (auto gone = sessions_.fd_store().forget_all(FdStore::manifest_prefix); !gone) {
        log::error(gone.error().message);
      }
      return [] {};
    });
  }
  if (rehearsed) {
    const auto frozen = clients_.in({ClientPhase::frozen});
    return start_pass(ClientCall::thaw, Event::rehearsal_thawed, &frozen);
  }
  const auto stopped =
      clients_.in({ClientPhase::preparing, ClientPhase::prepared, ClientPhase::freezing,
                   ClientPhase::frozen, ClientPhase::thawing});
  start_pass(ClientCall::thaw, Event::clients_thawed, &stopped);
}

void Engine::finish_update() {
  for (const auto& [name, client] : clients_.all()) {
    if (client.phase == ClientPhase::idle || owes_thaw(name)) continue;
    set_phase(*clients_.find(name), ClientPhase::idle);
  }
  // Refused before any client was asked: the caller's error, not an update to remember. Nor is a
  // client forgotten by it that is missed: the second try would go without it.
  const bool refused = update_.started && update_.failure();
  if (!refused) drop_absent_clients();
  if (!update_.record()) return;
  auto entry = update_.outcome(generation_, host_.wall_clock());
  const auto outcome = std::string(to_string(entry.outcome));
  const auto failure = update_.failure();
  if (!failure) begin_trial(*update_.record(), entry);
  if (refused) tell_started(fail(*failure));
  const auto blackout = blackout_usec(entry.timeline);
  log::event(log::Id::update_finished, failure ? log::Level::error : log::Level::info,
             {{log::Field::update, entry.id},
              {log::Field::code, outcome},
              {log::Field::usec, blackout ? std::to_string(*blackout) : ""}},
             "Update ", entry.id, " is over: ", outcome, entry.reason.empty() ? "" : ": ",
             entry.reason);
  log::set_update(0);
  auto context = hook_context();
  const auto job = update_.job ? std::optional(update_.job->id) : std::nullopt;
  update_.end();
  asked_all_ = false;
  const bool begun = !refused || asked_hooks_;
  asked_hooks_ = false;
  if (begun) {
    tell_hooks_of_end(std::move(context), entry, std::exchange(undone_from_freeze_, false));
  }
  journal_.note_update();
  outside_.manager_changed("Generation");
  const auto result = failure ? entry.outcome : Outcome::done;
  if (refused) return end_job(job, result, entry.reason);
  records_.pending_is_over();
  unwritten_.push_back(entry);
  journal_.note_head();
  // Whoever hears of the end finds its record.
  records_.add(entry, [this, alive = alive_, job, result, outcome = entry.outcome,
                       reason = entry.reason, generation = generation_] {
    if (!*alive) return;
    end_job(job, result, reason);
    outside_.update_finished(outcome, reason, generation);
    run_trial();
    wake();  // terminate() may wait for it
  });
}

void Engine::end_job(std::optional<std::uint64_t> id, Outcome result, const std::string& reason) {
  if (!id) return;
  if (update_.job && update_.job->id == *id) {
    update_.job.reset();
    outside_.manager_changed("CurrentJob");
  }
  outside_.job_removed(*id, result, reason);
}

}  // namespace handover::engine

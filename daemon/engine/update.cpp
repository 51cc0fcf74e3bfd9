// SPDX-License-Identifier: LGPL-2.1-or-later
// The running update: events in, the state machine's actions out.
#include <fcntl.h>

#include <thread>
#include <utility>

#include "engine/engine.h"
#include "system/boot.h"
#include "system/kexec.h"
#include "system/log.h"

namespace handover::engine {

namespace {

std::string describe(const Caller& caller) {
  return "uid " + std::to_string(caller.owner.uid) +
         (caller.owner.unit.empty() ? "" : " (" + caller.owner.unit + ")");
}

bool asks_for_another_target(const UpdateOptions& asked, const UpdateOptions& have) {
  const auto differs = [](const std::string& a, const std::string& b) {
    return !a.empty() && a != b;
  };
  return differs(asked.kernel, have.kernel) || differs(asked.cmdline, have.cmdline) ||
         differs(asked.mode, have.mode) || (asked.initrd && asked.initrd != have.initrd);
}

}  // namespace

void Engine::request(JobType type, const UpdateOptions& options, const Caller& caller,
                     Started started) {
  if (!options.mode.empty() && options.mode != "immediate" && options.mode != "orderly") {
    return started(fail(ErrorCode::invalid_argument, "There is no mode '" + options.mode +
                                                         "'; it is 'immediate' or 'orderly'."));
  }
  const bool go_on = state_ == State::prepared && type == JobType::update && !job_;
  if (state_ != State::normal && !go_on) {
    return started(
        fail(ErrorCode::busy, "An update is already in state " + std::string(to_string(state_)) +
                                  "; wait for it, or cancel it with 'handoverctl cancel'."));
  }
  if (go_on && !stale_ && !asks_for_another_target(options, options_)) {
    job_ = Job{update_->id, type, "freeze", 80, "Going on from prepared."};
    outside_.job_added(job_->id);
    outside_.manager_changed("CurrentJob");
    started(job_->id);
    return post(Event::update_requested);
  }
  new_update(type, go_on ? going_on(options, options_) : options, caller);
  started_ = std::move(started);
  post(go_on || type == JobType::prepare ? Event::prepare_requested : Event::update_requested);
}

void Engine::new_update(JobType type, const UpdateOptions& options, const Caller& caller) {
  options_ = options;
  if (options_.mode.empty()) options_.mode = setup_.config.mode;
  failure_.reset();
  stale_ = false;
  stop_worker_ = false;
  update_ = UpdateRecord{};
  update_->id = next_id_++;
  update_->mode = emulated() ? "emulated" : options_.mode;
  update_->from_release = system::kernel_release();
  update_->requested_by = describe(caller);
  update_->timeline.ticks_per_second = system::counter_frequency();
  mark(Mark::requested);
  job_ = Job{update_->id, type, "preflight", 0, "Looking at the target."};
  outside_.job_added(job_->id);
  outside_.manager_changed("CurrentJob");
}

Result<void> Engine::cancel() {
  if (!is_cancellable(state_)) {
    return fail(ErrorCode::nothing_to_cancel,
                state_ == State::normal
                    ? "No update runs, so there is nothing to cancel; "
                      "'handoverctl history' tells how the last one ended."
                    : "The update is in state " + std::string(to_string(state_)) +
                          ", where it cannot be cancelled any more.");
  }
  if (!failure_) failure_ = Error{ErrorCode::cancelled, "Cancelled on request."};
  pass_.reset();
  ++pass_epoch_;
  // The worker is told; the event follows when it has let go of the sessions.
  if (worker_busy_) {
    stop_worker_ = true;
  } else {
    post(Event::cancel_requested);
  }
  return {};
}

void Engine::post(Event event) {
  events_.push_back(event);
  if (stepping_) return;
  stepping_ = true;
  while (!events_.empty()) {
    const auto next = events_.front();
    events_.pop_front();
    take(next);
  }
  stepping_ = false;
}

void Engine::take(Event event) {
  const auto transition = step(state_, event);
  if (!transition) {
    log::debug(to_string(event), " means nothing in state ", to_string(state_), ".");
    return;
  }
  if (transition->next != state_) {
    log::info(to_string(state_), " -> ", to_string(transition->next), " (", to_string(event), ")");
    state_ = transition->next;
    outside_.manager_changed("State");
  }
  if (state_ == State::normal) tell_settled();
  for (const auto action : transition->actions) {
    auto done = perform(action);
    if (done) continue;
    const bool going_forward = state_ == State::preparing || state_ == State::freezing ||
                               state_ == State::frozen || state_ == State::rebooting;
    if (going_forward) return fail_update(done.error());
    // Going back to normal nothing may stop us.
    log::error(to_string(action), ": ", done.error().message);
  }
}

void Engine::fail_update(Error error) {
  log::error("The update ends: ", error.message);
  if (!failure_) failure_ = std::move(error);
  pass_.reset();
  ++pass_epoch_;
  if (worker_busy_) {
    stop_worker_ = true;
  } else {
    post(Event::failed);
  }
}

void Engine::tell_settled() {
  if (auto settled = std::exchange(setup_.settled, nullptr)) settled();
  restore_rest();
}

/// Every client runs again: the processors are free for memory that nobody has touched yet.
void Engine::restore_rest() {
  const bool any = !sessions_.resting().empty();
  const auto configured = static_cast<unsigned>(setup_.config.restore_threads);
  const auto threads = configured != 0 ? configured : std::thread::hardware_concurrency();
  if (auto done = sessions_.main_backend().restore_rest(threads); !done) {
    log::error(done.error().message);
  }
  if (any) persist_or_log();
}

void Engine::tell_started(const Result<std::uint64_t>& result) {
  if (auto started = std::exchange(started_, nullptr)) started(result);
}

Result<void> Engine::perform(Action action) {
  switch (action) {
    case Action::persist:
      return persist();
    case Action::run_preflight:
      run_preflight();
      return {};
    case Action::load_target:
      load_target();
      return {};
    case Action::call_prepare: {
      tell_started(job_->id);
      set_job("prepare", 15, "Preparing clients.");
      start_pass(ClientCall::prepare, Event::clients_prepared, {});
      return {};
    }
    case Action::ready_sessions:
      mark(Mark::clients_prepared);
      if (auto checked = check_again(); !checked) return checked;
      ready_sessions();
      return {};
    case Action::await_freeze:
      mark(Mark::sessions_ready);
      await_freeze();
      return {};
    case Action::call_cancel:
      if (!started_) set_job("cancel", 0, "Undoing.");
      start_pass(ClientCall::cancel, Event::clients_cancelled,
                 clients_in({ClientPhase::preparing, ClientPhase::prepared}));
      return {};
    case Action::unload_target:
      if (!std::exchange(target_loaded_, false) || emulated()) return {};
      return system::unload_kernel();
    case Action::call_freeze:
      write_pending();  // before the blackout: it waits for the disk
      set_job("freeze", 85, "Freezing clients.");
      mark(Mark::freeze_begin);
      start_pass(ClientCall::freeze, Event::clients_frozen, clients_in({ClientPhase::prepared}));
      return {};
    case Action::seal:
      mark(Mark::clients_frozen);
      return seal();
    case Action::kexec:
      kexec();
      return {};
    case Action::call_thaw:
      set_job("thaw", 0, "Undoing: thawing clients.");
      if (auto opened = sessions_.main_backend().open_tables(); !opened) {
        log::error(opened.error().message);
      }
      if (auto stored = sessions_.store_everything(); !stored) {
        log::error(stored.error().message);
      }
      if (auto gone = sessions_.fd_store().forget_all("manifest"); !gone) {
        log::error(gone.error().message);
      }
      start_pass(ClientCall::thaw, Event::clients_thawed,
                 clients_in({ClientPhase::preparing, ClientPhase::prepared, ClientPhase::freezing,
                             ClientPhase::frozen, ClientPhase::thawing}));
      return {};
    case Action::call_restore:
      start_pass(ClientCall::restore, Event::clients_restored,
                 clients_in({ClientPhase::restoring}));
      return {};
    case Action::finish_update:
      finish_update();
      return {};
  }
  return fail(ErrorCode::internal, "Unknown action.");
}

void Engine::run_on_worker(std::function<std::function<void()>()> job) {
  worker_busy_ = true;
  stop_worker_ = false;
  worker_.run([this, job = std::move(job)]() -> std::function<void()> {
    return [this, then = job()] {
      worker_busy_ = false;
      then();
    };
  });
}

void Engine::await_freeze() {
  if (!job_ || job_->type == JobType::prepare) {
    set_job("prepared", 100, "Prepared: 'handoverctl update' goes on, 'cancel' undoes.");
    const auto id = job_ ? job_->id : 0;
    job_.reset();
    outside_.manager_changed("CurrentJob");
    if (id != 0) outside_.job_removed(id, "done", "");
    return;
  }
  // Clients that came while preparing were not asked: once more, then.
  post(std::exchange(stale_, false) ? Event::prepare_requested : Event::update_requested);
}

Result<void> Engine::seal() {
  set_job("seal", 95, "Sealing the manifest.");
  update_->timeline.ticks_per_second = system::counter_frequency(0);
  if (options_.mode == "orderly" && !emulated()) {
    // If we die while units stop, PID 1 still carries the manifest across (systemd >= 261).
    if (auto kept = sessions_.fd_store().keep("manifest", sessions_.main_backend().stored_fds());
        !kept) {
      return kept;
    }
    if (auto kept = sessions_.store_sessions_only(); !kept) return kept;
  }
  // Last of all: whatever anybody preserved by now is in them, and nothing comes in any more.
  if (auto closed = sessions_.main_backend().close_tables(); !closed) return closed;
  mark(Mark::sealed);
  post(Event::sealed);
  return {};
}

void Engine::kexec() {
  set_job("kexec", 96, emulated() ? "Executing the daemon again." : "Leaving this kernel.");
  if (emulated()) return kexec_emulated();
  outside_.flush();
  const bool immediate = options_.mode != "orderly";
  if (immediate) system::sync_file_systems();
  mark(Mark::kexec_called);
  // From here the manifest in preserved memory says "rebooting": the new kernel's daemon goes on.
  if (auto written = persist(); !written) return fail_update(written.error());
  if (immediate) return fail_update(system::kexec_now());
  outside_.start_orderly_kexec([this, id = update_->id](Error error) {
    // It may be late: to fail what is being thawed, or the next update, would stop that one
    // half-way.
    if (state_ != State::rebooting || !update_ || update_->id != id) return;
    fail_update(std::move(error));
  });
}

void Engine::kexec_emulated() {
  mark(Mark::kexec_called);
  if (auto written = persist(); !written) return fail_update(written.error());
  std::vector<system::NamedFd> fds;
  const auto add = [&](const std::string& prefix, const auto& stored) {
    for (const auto& [part, fd] : stored) {
      fds.push_back({FdStore::stored_name(prefix, part), UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3))});
    }
  };
  add("manifest", sessions_.main_backend().stored_fds());
  for (const auto& [name, held] : sessions_.all()) {
    add(Sessions::store_prefix(held.record.id), held.kernel->stored_fds());
  }
  outside_.flush();
  fail_update(system::reexec(setup_.argv, fds, {"HANDOVER_EMULATED_KEXEC=1"}));
}

HistoryEntry Engine::outcome() const {
  HistoryEntry entry;
  entry.id = update_->id;
  entry.generation = generation_;
  entry.mode = update_->mode;
  entry.from_release = update_->from_release;
  entry.to_release = update_->kernel_release;
  entry.finished_at = system::now_rfc3339();
  entry.timeline = update_->timeline;
  entry.losses = update_->losses;
  if (failure_) {
    entry.outcome = failure_->code == ErrorCode::cancelled ? "cancelled" : "failed";
    entry.reason = failure_->message;
  } else if (!entry.losses.empty()) {
    entry.outcome = "done-with-losses";
    entry.reason = entry.losses.front();
  } else {
    entry.outcome = "done";
  }
  return entry;
}

void Engine::finish_update() {
  for (auto& [name, client] : clients_) set_phase(client, ClientPhase::idle);
  drop_absent_clients();
  if (!update_) return;
  const auto entry = outcome();
  // Refused before any client was asked: the caller's error, not an update to remember.
  const bool refused = started_ && failure_;
  if (refused) {
    tell_started(fail(*failure_));
  } else {
    history_.add(entry);
    // What was not read yet is another update's.
    pending_over_ = !look_for_lost_;
    write_history(state_tries);
  }
  log::info("Update ", entry.id, " is over: ", entry.outcome, entry.reason.empty() ? "" : ": ",
            entry.reason);
  update_.reset();
  if (const auto job = std::exchange(job_, std::nullopt)) {
    outside_.manager_changed("CurrentJob");
    outside_.job_removed(job->id, failure_ ? entry.outcome : "done", entry.reason);
  }
  outside_.manager_changed("Generation");
  if (!refused) outside_.update_finished(entry.outcome, entry.reason, generation_);
  failure_.reset();
  stale_ = false;
}

void Engine::write_history(unsigned tries) {
  const auto written = history_.write();
  if (!written && tries > 0) {
    history_timer_ = loop_.after(state_retry_usec, [this, tries] { write_history(tries - 1); });
    return;
  }
  if (!written) log::error("The history cannot be written: ", written.error().message);
  // Not before: a power cut in between would leave no word of the update.
  if (std::exchange(pending_over_, false)) remove_pending(state_tries);
}

void Engine::set_job(const char* phase, unsigned progress, std::string detail) {
  if (!job_) return;
  job_->phase = phase;
  job_->progress = progress;
  job_->detail = std::move(detail);
  outside_.job_changed(job_->id);
}

}  // namespace handover::engine

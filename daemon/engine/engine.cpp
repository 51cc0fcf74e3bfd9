// SPDX-License-Identifier: LGPL-2.1-or-later
// Turns of the loop: events are taken, the state machine is stepped, and what changed is written
// down.
#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "system/log.h"
#include "system/trampoline.h"

namespace handover::engine {

Engine::Engine(Host& host, Outside& outside, const backend::Keepers& keepers, Setup setup)
    : host_(host),
      outside_(outside),
      setup_(std::move(setup)),
      ledger_(limits_of(setup_.config, host.memory_bytes(), setup_.most_descriptors)),
      clocks_(host, outside),
      sessions_(host, keepers, ledger_, *this),
      journal_(host, keepers.manifest, *this),
      records_(host, setup_.config.history_entries),
      kernels_(host) {
  records_.on_written([this] {
    if (!late_losses_.empty()) {
      late_losses_.clear();
      journal_.note_late_losses_written();
      wake();
    }
    if (unwritten_.empty()) return;
    unwritten_.clear();
    journal_.note_head();
    wake();
  });
  // The earlier kernel's manifest has served.
  journal_.on_first_text([this] {
    host_.run(manifest_queue, [&store = sessions_.fd_store()]() -> std::function<void()> {
      if (auto gone = store.forget_all(FdStore::manifest_prefix); !gone) {
        log::warning(gone.error().message);
      }
      return [] {};
    });
  });
}

Engine::~Engine() {
  *alive_ = false;
  log::set_update(0);
  stop_ = true;
  end_told_hooks_ = true;
  *trial_stop_ = true;
  // Jobs know the rooms: none may run on when they are gone.
  host_.stop_jobs();
}

// ---- turns

void Engine::wake() {
  if (std::exchange(awake_, true)) return;
  host_.at_turn_end([this, alive = alive_] {
    if (*alive) end_turn();
  });
}

void Engine::end_turn() {
  awake_ = false;
  for (;;) {
    if (!events_.empty()) {
      const auto event = events_.front();
      events_.pop_front();
      take(event);
    } else if (std::exchange(pass_moved_, false)) {
      advance_pass();
    } else {
      break;
    }
  }
  if (journal_.presses() || !when_written_.empty() || terminated_) {
    const auto written = journal_.flush();
    if (!written) log::error("The manifest could not be written: ", written.error().message);
    for (const auto& then : std::exchange(when_written_, {})) then(written);
  } else {
    journal_.flush_soon();
  }
  if (terminated_ && may_end()) {
    if (auto over = std::exchange(terminated_, nullptr)) over();
  }
}

/// SIGTERM, and all is written down.
bool Engine::may_end() const {
  // This process is the new kernel of an emulated update: no later one would read what it got.
  if (setup_.emulated_kexec && !journal_.begun()) return false;
  // A later process goes on with it.
  if (state_ == State::restoring) return true;
  // Those who have not answered Thaw have had their time in the pass; it was repeated since. The
  // last word on an update is said when the history has its record, or has not taken it.
  return state_ == State::normal && !records_.owes_word() && told_hooks_ == 0;
}

void Engine::when_written(std::function<void(const Result<void>&)> then) {
  when_written_.push_back(std::move(then));
  wake();
}

void Engine::reply_when_written(Reply<void> reply) {
  when_written([reply = std::move(reply)](const Result<void>& written) { reply(written); });
}

void Engine::post(Event event) {
  events_.push_back(event);
  wake();
}

void Engine::set_state(State state, Event event) {
  if (state == state_) return;
  log::event(log::Id::state_changed, log::Level::info,
             {{log::Field::state, std::string(to_string(state))}}, to_string(state_), " -> ",
             to_string(state), " (", to_string(event), ")");
  state_ = state;
  journal_.note_head();
  journal_.allow_compaction(state == State::normal || state == State::prepared);
  outside_.manager_changed("State");
  // Prepared, nobody stands still, and it may stay so for days.
  const bool runs = state != State::normal && state != State::prepared && state != State::restoring;
  outside_.inhibit_shutdown(runs && !emulated());
  status();
}

namespace {

/// It takes an update further.
bool is_step_forward(Event event) {
  switch (event) {
    case Event::preflight_passed:
    case Event::target_loaded:
    case Event::clients_prepared:
    case Event::newcomers:
    case Event::sessions_ready:
    case Event::update_requested:
    case Event::going_on:
    case Event::clients_frozen:
    case Event::sealed:
    case Event::rehearsed:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Engine::take(Event event) {
  ++counters_.events;
  // It was posted before the update failed, or was cancelled: the word of that is behind it.
  if (update_.failure() && is_step_forward(event)) return;
  // Clients may have come since it was posted.
  if (event == Event::update_requested && state_ == State::prepared && must_ask_newcomers()) {
    return await_freeze();
  }
  const auto transition = step(state_, event);
  if (!transition) {
    log::debug(to_string(event), " means nothing in state ", to_string(state_), ".");
    return;
  }
  set_state(transition->next, event);
  if (state_ == State::normal && !std::exchange(told_settled_, false)) tell_settled();
  for (const auto action : transition->actions) {
    auto done = perform(action);
    if (done) continue;
    const bool going_forward = state_ == State::preparing || state_ == State::freezing ||
                               state_ == State::frozen || state_ == State::rebooting;
    if (going_forward) return fail_update(done.error());
    // Nothing may stop the way back to normal.
    log::error(to_string(action), ": ", done.error().message);
  }
}

Result<void> Engine::perform(Action action) {
  switch (action) {
    case Action::persist:
      journal_.note_head();
      return journal_.flush();
    case Action::run_preflight:
      when_refreshed([this] { run_preflight(); });
      return {};
    case Action::load_target:
      load_target();
      return {};
    case Action::call_prepare: {
      tell_started(update_.job ? update_.job->id : 0);
      const bool first = !std::exchange(asked_all_, true);
      if (!first) {
        prepare_clients(first);
        return {};
      }
      set_job(JobPhase::prepare, 12, "Running hooks.");
      asked_hooks_ = true;
      run_hooks(HookStage::prepare, [this, first] { prepare_clients(first); });
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
    case Action::call_cancel: {
      if (!update_.started) set_job(JobPhase::cancel, 0, "Undoing.");
      const auto asked = clients_.in({ClientPhase::preparing, ClientPhase::prepared});
      start_pass(ClientCall::cancel, Event::clients_cancelled, &asked);
      return {};
    }
    case Action::unload_target:
      return {};  // it is, since the last client was told; unload_target()
    case Action::call_freeze:
      begin_freeze();
      return {};
    case Action::seal:
      mark(Mark::clients_frozen);
      seal();
      return {};
    case Action::kexec:
      kexec();
      return {};
    case Action::call_thaw:
      begin_thaw();
      return {};
    case Action::withdraw_kexec:
      withdraw_kexec();
      return {};
    case Action::call_restore: {
      const auto restoring = clients_.in({ClientPhase::restoring});
      const auto running = clients_.in({ClientPhase::restored}).size();
      update_.begin_restore(restoring.size() + running, running);
      set_job(JobPhase::restore, update_.restore_progress(), update_.restore_detail());
      start_pass(ClientCall::restore, Event::clients_restored, &restoring);
      return {};
    }
    case Action::end_rehearsal:
      end_rehearsal();
      return {};
    case Action::finish_update:
      finish_update();
      return {};
  }
  return fail(ErrorCode::internal, "Unknown action.");
}

/// Only queues: whoever finds a failure may be in the middle of something.
void Engine::fail_update(Error error, std::optional<Culprit> culprit) {
  log::error("The update ends: ", error.message);
  // What is being undone, or is over, cannot fail: ending its pass would leave clients frozen.
  const bool undone = state_ == State::withdrawing || state_ == State::thawing ||
                      state_ == State::cancelling || state_ == State::restoring;
  if (undone || !update_.record()) return;
  update_.fail(std::move(error), std::move(culprit));
  end_pass();
  sealing_ = false;
  freeze_waits_ = false;
  if (target_busy_) {
    stop_ = true;
    if (!after_target_) after_target_ = Event::failed;
  } else {
    post(Event::failed);
  }
}

/// The target's queue: preflight, load, collapse, the module's tables. When a job of it has been
/// told to end, the event that told so follows it.
void Engine::run_target_job(Host::Job job) {
  target_busy_ = true;
  host_.run(target_queue, [this, alive = alive_, job = std::move(job)]() -> std::function<void()> {
    std::function<void()> then;
    try {
      then = job();
    } catch (...) {
      system::log_exception("a job of the update");
    }
    return [this, alive, then = std::move(then)] {
      if (!*alive) return;
      target_busy_ = false;
      if (then) {
        then();
      } else if (!update_.failure()) {
        fail_update(
            Error{ErrorCode::internal, "A bug ended a step of the update; see the journal.", 0});
      }
      if (target_busy_ || !after_target_) return;
      post(*std::exchange(after_target_, std::nullopt));
    };
  });
}

// ---- what is written down

Manifest Engine::manifest() const {
  Manifest manifest;
  manifest.state = state_;
  manifest.generation = generation_;
  manifest.boot_id = boot_id_;
  manifest.next_id = next_id_;
  for (const auto& [name, held] : sessions_.all()) {
    if (held.standing != Standing::coming) manifest.sessions.push_back(held.record);
  }
  for (const auto& [name, client] : clients_.all()) manifest.clients.push_back(client);
  manifest.update = update_.record();
  manifest.resting = sessions_.resting();
  manifest.config = setup_.config_text;
  manifest.unwritten = unwritten();
  manifest.late_losses = late_losses_;
  manifest.trial = trial_;
  manifest.watchdog = watchdog_;
  manifest.lost = lost_;
  manifest.extra = extra_;
  return manifest;
}

HeadChange Engine::head() const {
  return HeadChange{state_,      generation_, next_id_,  sessions_.resting(),
                    unwritten(), trial_,      watchdog_, lost_};
}

std::string Engine::unwritten() const {
  return unwritten_.empty() ? std::string() : serialize(std::span(unwritten_));
}

const SessionRecord* Engine::session(std::uint64_t id) const {
  const auto* held = sessions_.find(id);
  return held != nullptr && held->standing != Standing::coming ? &held->record : nullptr;
}

const ClientRecord* Engine::client(const std::string& name) const { return clients_.find(name); }

// ---- what others see

void Engine::history(std::uint32_t most, Reply<std::string> reply) {
  records_.read(most, std::move(reply));
}

void Engine::status() {
  std::string line = std::string(to_string(state_)) + ", generation " +
                     std::to_string(generation_) + ", backend " +
                     std::string(to_string(sessions_.main_keeper()));
  if (emulated()) line += " (nothing survives a real kexec)";
  if (config_is_borrowed()) line += "; the configuration file cannot be used";
  host_.status(line + ".");
}

/// For the journal; "" if it is not known.
std::string Engine::unit_of(const std::string& client) const {
  const auto* const record = clients_.find(client);
  return record == nullptr ? std::string() : record->owner.unit;
}

std::string Engine::unit_of(const SessionRecord& session) const { return session.owner.unit; }

Engine::Statistics Engine::statistics() const {
  Statistics all;
  const auto& journal = journal_.figures();
  all["manifest-writes"] = journal.flushes;
  all["manifest-changes"] = journal.lines;
  all["manifest-write-usec"] = journal.flush_usec;
  all["manifest-longest-write-usec"] = journal.longest_flush_usec;
  all["manifest-compactions"] = journal.compactions;
  all["manifest-bytes"] = journal.text_bytes;
  all["jobs-waiting"] = host_.jobs_waiting();
  all["events"] = counters_.events;
  all["client-calls"] = counters_.calls;
  all["client-late-answers"] = counters_.late_answers;
  all["thaws-repeated"] = counters_.thaws_repeated;
  all["thaws-owed"] = owed_.size();
  all["losses"] = counters_.losses;
  all["fd-store-used"] = sessions_.fd_store().count();
  if (const auto limit = sessions_.fd_store().limit()) all["fd-store-limit"] = *limit;
  for (const auto resource : all_values<Resource>()) {
    all["charged-" + std::string(to_string(resource))] = ledger_.used(resource);
  }
  all["accounts"] = ledger_.accounts();
  all["sessions-unreached"] = sessions_.in(Standing::unreached).size();
  all["sessions-degraded"] = sessions_.in(Standing::degraded).size();
  for (const auto& [name, value] : host_.statistics()) all[name] = value;
  auto& not_charged = all["owners-not-charged"];
  not_charged = std::get<std::uint64_t>(not_charged) + sessions_.charged_here();
  return all;
}

void Engine::use_config(Config config, std::string text) {
  setup_.config = std::move(config);
  setup_.config_text = std::move(text);
  setup_.config_problem.reset();
  ledger_.set_limits(limits_of(setup_.config, host_.memory_bytes(), setup_.most_descriptors));
  log::info("The configuration file is used (again).");
  if (auto begun = journal_.begin(); !begun) log::error(begun.error().message);
  status();
}

}  // namespace handover::engine

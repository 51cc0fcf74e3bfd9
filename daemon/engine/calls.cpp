// SPDX-License-Identifier: LGPL-2.1-or-later
// Passes over the clients: whose turn it is, what is called, and what an answer leads to.
#include <algorithm>
#include <utility>

#include "engine/engine.h"
#include "system/log.h"

namespace handover::engine {

namespace {

constexpr std::uint64_t first_owed_usec = 100'000;
constexpr std::uint64_t longest_owed_usec = 5'000'000;
/// Nobody waits longer than this for clients that do not answer Restore.
constexpr std::uint64_t longest_pause_usec = 1'000'000;
/// An update is over then, whatever the kernel is still freeing.
constexpr std::uint64_t longest_end_usec = 10'000'000;

}  // namespace

std::uint64_t Engine::timeout_of(const ClientRecord& client, ClientCall call) const {
  const auto or_default = [](std::uint64_t own, std::uint64_t configured) {
    return own != 0 ? own : configured;
  };
  const auto& config = setup_.config;
  switch (call) {
    case ClientCall::prepare:
      return or_default(client.prepare_timeout_usec, config.prepare_timeout_usec);
    case ClientCall::freeze:
      // Whatever one client asks for, the whole freeze has a limit.
      return std::min(or_default(client.freeze_timeout_usec, config.freeze_timeout_usec),
                      standstill_limit());
    case ClientCall::restore:
      return or_default(client.restore_timeout_usec, config.restore_timeout_usec);
    case ClientCall::cancel:
    case ClientCall::thaw:
      break;
  }
  return config.thaw_timeout_usec;
}

// ---- a pass

/// `only`: these; nullptr: everybody.
void Engine::start_pass(ClientCall call, Event then, const std::set<std::string>* only) {
  ++passes_;
  told_settled_ = false;
  const auto gates = gates_of(clients_.all(), call);
  if (only != nullptr) {
    pass_.emplace(clients_.graph(), gates, call, then, passes_, *only);
  } else {
    pass_.emplace(clients_.graph(), gates, call, then, passes_);
  }
  if (call == ClientCall::thaw || call == ClientCall::cancel) {
    // A client that is not here (direct connection of an earlier daemon) has this long to return.
    absent_alarm_ = host_.after(setup_.config.thaw_timeout_usec, [this] { absent_time_over(); });
  }
  pass_moved_ = true;
  wake();
}

void Engine::end_pass() {
  pass_.reset();
  absent_alarm_.reset();
  losses_alarm_.reset();
  sessions_.put_off(false);
}

/// From end_turn() alone.
void Engine::advance_pass() {
  if (!pass_) return;
  const auto number = pass_->number();
  for (const auto& name : pass_->take_ready()) {
    take_turn(name);
    if (!pass_ || pass_->number() != number) return;
  }
  if (pass_->called().empty()) sessions_.put_off(false);
  if (!pass_->finished() || must_wait_for_losses()) return;
  const auto then = pass_->then();
  end_pass();
  // Sessions may change again from prepared on: not before the tables are open.
  if (then == Event::rehearsal_thawed) {
    return run_target_job(
        [this, then]() -> std::function<void()> { return [this, then] { post(then); }; });
  }
  const bool undone = then == Event::clients_cancelled || then == Event::clients_thawed;
  if (!undone) return post(then);
  // Before the update is over: a later process would not know whose kernel is loaded.
  unload_target([this, then] { post(then); });
}

/// What is freed at the end of an update, and lost, is told before its end and is in its record.
bool Engine::must_wait_for_losses() {
  // to_finish_: the kernel could not for the moment, and is asked again.
  const bool frees = sessions_.finishing() || !to_finish_.empty();
  if (pass_->call() != ClientCall::restore || !frees) return false;
  if (!losses_alarm_) {
    // All clients run: who waits for them does not wait for the kernel.
    told_settled_ = true;
    tell_settled();
    losses_time_over_ = false;
    losses_alarm_ = host_.after(longest_end_usec, [this] {
      losses_time_over_ = true;
      pass_moved_ = true;
      wake();
    });
  }
  return !losses_time_over_;
}

void Engine::take_turn(const std::string& name) {
  if (!pass_ || !pass_->waits_for(name) || pass_->is_called(name)) return;
  auto* const client = clients_.find(name);
  const auto call_now = pass_->call();
  pass_moved_ = true;
  wake();
  if (client == nullptr) return pass_->done(name);
  if (client->gate && call_now == ClientCall::restore && !std::exchange(told_settled_, true)) {
    tell_settled();  // everybody else runs; the boot does not wait for what a gate has to look at
    if (!pass_ || !pass_->waits_for(name)) return;
  }
  switch (turn_of(*client, clients_.connected(*client), call_now, pass_->absent_time_over())) {
    case Turn::call:
      // Its sessions are on their way: session_settled() comes back to it.
      if (call_now == ClientCall::restore && !can_restore(*client)) return;
      // It still owes the thaw of an earlier update.
      if (call_now == ClientCall::prepare && owes_thaw(name)) {
        leave_out(*client, "it has not answered Thaw since the last update.", call_now,
                  std::nullopt);
        return pass_->done(name);
      }
      return call(*client);
    case Turn::wait:
      return;
    case Turn::pass_over:
      if (call_now == ClientCall::thaw) {
        const auto sentence = "Client '" + name + "' is gone and could not be thawed.";
        log::event(log::Id::thaw_failed, log::Level::error,
                   {{log::Field::client, name}, {log::Field::unit, client->owner.unit}}, sentence);
        update_.add_to_failure(sentence);
      }
      set_phase(*client, ClientPhase::idle);
      return pass_->done(name);
    case Turn::leave_out:
      leave_out(*client, "it was not here.", call_now, std::nullopt);
      return pass_->done(name);
    case Turn::end_update:
      return fail_update(Error{ErrorCode::client_gone, "Client '" + name + "' is not here.", 0},
                         Culprit{name, call_now});
  }
}

bool Engine::can_restore(const ClientRecord& client) const {
  const auto& names = sessions_.of_client(client.name);
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    const auto* held = sessions_.find(name);
    if (held->standing == Standing::adopting || held->standing == Standing::unreached) return false;
    // One half of it is out of reach: it is asked for again.
    return held->standing != Standing::degraded || !held->record.incoming || claims_over_;
  });
}

void Engine::call(ClientRecord& client) {
  auto sent_call = pass_->call();
  switch (sent_call) {
    case ClientCall::prepare:
      // A Cancel of an earlier update's that it owes would undo this one.
      owe_no_more(client.name);
      set_phase(client, ClientPhase::preparing);
      break;
    case ClientCall::freeze:
      set_phase(client, ClientPhase::freezing);
      break;
    case ClientCall::thaw:
      // Prepared and never frozen: nothing to thaw.
      if (client.phase == ClientPhase::freezing || client.phase == ClientPhase::frozen) {
        set_phase(client, ClientPhase::thawing);
      }
      if (client.phase != ClientPhase::thawing) sent_call = ClientCall::cancel;
      break;
    case ClientCall::cancel:
    case ClientCall::restore:
      break;
  }
  ClientCallArguments arguments;
  arguments.generation = generation_;
  arguments.timeout_usec = timeout_of(client, pass_->call());
  arguments.quiesced = client.quiesced;
  arguments.rehearsal = update_.rehearsing();
  arguments.stays_prepared = stays_prepared(client);
  if (sent_call == ClientCall::prepare && update_.record()) {
    arguments.kernel_release = update_.record()->kernel_release;
  }
  if (thaws_to_prepared()) arguments.reason = "It was a rehearsal.";
  if (update_.failure()) arguments.reason = update_.failure()->message;
  pass_->called(client.name);
  clocks_.call_sent(client.bus_name, arguments.timeout_usec);
  ++counters_.calls;
  outside_.call_client(client, sent_call, arguments,
                       [this, alive = alive_, pass = pass_->number(), name = client.name,
                        to = client.bus_name, sent = host_.now()](const Outside::Answer& answer) {
                         if (*alive) answered(pass, name, to, sent, answer);
                       });
}

void Engine::answered(std::uint64_t pass, const std::string& name, const std::string& to,
                      Ticks sent, const Outside::Answer& answer) {
  if (answer.late) ++counters_.late_answers;
  auto* const client = clients_.find(name);
  if (client == nullptr || !pass_ || pass_->number() != pass) return;
  if (answer.late) {
    // Of those that time out, only Restore is waited for beyond its limit: the client runs, so its
    // state is not to be freed.
    if (pass_->call() != ClientCall::restore || client->phase != ClientPhase::restoring ||
        !answer.result) {
      return;
    }
    log::info("Client '", name, "' has restored, after its time limit.");
  } else if (!pass_->is_called(name)) {
    return;
  }
  pass_moved_ = true;
  wake();
  pass_->answered(name);
  // It was sent to an earlier process of it, which is gone: the one that is here has its own turn.
  if (!answer.result && client->bus_name != to && clients_.connected(*client)) {
    return take_turn(name);
  }
  // It was not sent at all: too many others owe answers. Whatever its client's limit is, its state
  // is not to be freed for that.
  const bool unsent = !answer.result && answer.result.error().code == ErrorCode::busy;
  if (unsent && pass_->call() == ClientCall::restore && !claims_over_) return take_turn(name);
  if (answer.result) {
    answered_well(*client, pass_->call(), sent);
    if (pass_) pass_->done(name);
  } else {
    answered_badly(*client, pass_->call(), answer.result.error());
  }
}

void Engine::answered_well(ClientRecord& client, ClientCall call, Ticks sent) {
  const auto now = host_.now();
  auto* const times = update_.times(client.name);
  const auto took = update_.usec_since(sent, now);
  if (times != nullptr) journal_.note_times(client.name);
  switch (call) {
    case ClientCall::prepare:
      set_phase(client, ClientPhase::prepared);
      take_in_again(client.name);
      if (times != nullptr) times->prepare_usec = took;
      break;
    case ClientCall::freeze:
      set_phase(client, ClientPhase::frozen);
      if (times != nullptr) {
        times->freeze_usec = took;
        if (!client.gate) times->frozen_at = now;  // it has nothing that could stand still
      }
      break;
    case ClientCall::cancel:
      set_phase(client, ClientPhase::idle);
      break;
    case ClientCall::thaw:
      set_phase(client, stays_prepared(client) ? ClientPhase::prepared : ClientPhase::idle);
      if (times != nullptr && times->frozen_at) times->running_at = now;
      break;
    case ClientCall::restore:
      if (times != nullptr) {
        times->restore_usec = took;
        times->running_at = now;
      }
      restored(client);
      break;
  }
}

void Engine::answered_badly(ClientRecord& client, ClientCall call, const Error& error) {
  const auto method = std::string(to_string(call));
  const auto sentence = "Client '" + client.name + "', " + method + ": " + error.message;
  const auto id =
      error.code == ErrorCode::timed_out ? log::Id::client_timed_out : log::Id::client_vetoed;
  const auto tell = [&](log::Level level, const std::string& what) {
    log::event(id, level,
               {{log::Field::client, client.name},
                {log::Field::unit, client.owner.unit},
                {log::Field::phase, method}},
               what);
  };
  // It is the limit of the whole rehearsal that this client's call had.
  if (call == ClientCall::freeze && error.code == ErrorCode::timed_out && update_.rehearsing() &&
      timeout_of(client, call) == update_.record()->rehearsal->at_most_usec) {
    return fail_update(Error{ErrorCode::timed_out,
                             "The freeze took longer than " + name_of_limit(standstill_limit()) +
                                 "; it waited for client '" + client.name + "'.",
                             0},
                       Culprit{client.name, call});
  }
  switch (meaning_of(client, call, fail(error))) {
    case Meaning::done:
      return;
    case Meaning::end_update:
      tell(log::Level::error, sentence);
      return fail_update(Error{error.code, sentence, error.sys_errno}, Culprit{client.name, call});
    case Meaning::leave_out: {
      tell(log::Level::warning, sentence + " (it is optional: the update goes on without it)");
      auto undo = std::optional(call == ClientCall::freeze ? ClientCall::thaw : ClientCall::cancel);
      if (error.code == ErrorCode::client_gone) undo.reset();
      leave_out(client, method + ": " + error.message, call, undo);
      return pass_->done(client.name);
    }
    case Meaning::again: {
      // Nobody else waits for it: it is called again beside the pass, until it answers or is gone.
      tell(log::Level::error, sentence);
      if (call == ClientCall::thaw) update_.add_to_failure(sentence);
      const auto name = client.name;
      pass_->done(name);
      if (clients_.connected(client) && error.code != ErrorCode::client_gone) {
        owe(name, client.phase == ClientPhase::thawing ? ClientCall::thaw : ClientCall::cancel, 1);
      } else {
        set_phase(client, ClientPhase::idle);
      }
      return;
    }
    case Meaning::give_up: {
      tell(log::Level::error, sentence);
      const auto name = client.name;
      give_up(client, sentence);
      if (pass_) pass_->done(name);
      return;
    }
    case Meaning::wait: {
      // It may answer late as long as it lives; but one that has answered, is here, and has nothing
      // left to claim is waited for in vain.
      const bool has_answered =
          error.code != ErrorCode::timed_out && error.code != ErrorCode::client_gone;
      if (has_answered && clients_.connected(client) && !has_to_claim(client)) {
        tell(log::Level::error, sentence);
        const auto name = client.name;
        give_up(client, method + ": " + error.message);
        if (pass_) pass_->done(name);
        return;
      }
      // It may be restarted and register again, or answer late; until then, and the claim time, its
      // state is kept.
      if (has_answered) restore_failures_[client.name] = error.message;
      return tell(log::Level::error,
                  sentence + "; its state is kept until it registers again or answers.");
    }
  }
}

/// Something of the earlier kernel's is kept for it.
bool Engine::has_to_claim(const ClientRecord& client) const {
  const auto& names = sessions_.of_client(client.name);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return sessions_.find(name)->record.incoming;
  });
}

void Engine::absent_time_over() {
  if (!pass_) return;
  pass_->end_absent_time();
  // Those who wait for somebody that was absent may be absent themselves: take_turn() passes them
  // over.
  const auto waiting = pass_->waiting();
  for (const auto& name : waiting) take_turn(name);
}

void Engine::set_phase(ClientRecord& client, ClientPhase phase) {
  if (client.phase == phase) return;
  client.phase = phase;
  if (phase == ClientPhase::restored || phase == ClientPhase::given_up) {
    journal_.note_client(client.name);
  }
  outside_.client_changed(client);
}

// ---- the update goes on without a client

/// `call`: in which it failed, or for which it was not here.
void Engine::note_left_out(const std::string& client, const std::string& why,
                           std::optional<ClientCall> call) {
  auto* const record = update_.edit();
  if (record == nullptr) return;
  record->left_out.push_back({client, why});
  journal_.note_left_out(record->left_out.back());
  log::event(log::Id::client_left_out, log::Level::warning,
             {{log::Field::client, client},
              {log::Field::unit, unit_of(client)},
              {log::Field::phase, call ? to_string(*call) : ""}},
             "Client '", client, "' is left out of the update: ", why);
}

/// It came again, and is prepared: what it preserved is carried like everybody's.
void Engine::take_in_again(const std::string& client) {
  auto* const record = update_.edit();
  if (record == nullptr) return;
  const auto is_it = [&](const LeftOut& left) { return left.client == client; };
  if (std::erase_if(record->left_out, is_it) != 0) journal_.note_in_again(client);
}

void Engine::leave_out(ClientRecord& client, const std::string& why, std::optional<ClientCall> call,
                       std::optional<ClientCall> undo) {
  note_left_out(client.name, why, call);
  const auto name = client.name;
  set_phase(client, undo == ClientCall::thaw ? ClientPhase::thawing : ClientPhase::idle);
  if (!undo) return;
  if (clients_.connected(client)) {
    owe(name, *undo, 0);
  } else {
    set_phase(client, ClientPhase::idle);
  }
}

// ---- Thaw is certain

/// Thaw or Cancel is called until it is answered, or the client is gone. `calls`: that were made.
void Engine::owe(const std::string& name, ClientCall call, unsigned calls) {
  auto& owed = owed_[name];
  owed.call = call;
  owed.calls = calls;
  owed.pause_usec = 0;
  // A later process of ours owes it, too.
  journal_.note_client(name);
  wake();
  // At once, and then less and less often.
  host_.post([this, alive = alive_, name] {
    if (*alive) call_undo(name);
  });
}

bool Engine::owes_thaw(const std::string& client) const {
  const auto it = owed_.find(client);
  return it != owed_.end() && it->second.call == ClientCall::thaw;
}

void Engine::owe_no_more(const std::string& name) {
  if (owed_.erase(name) == 0) return;
  auto* const client = clients_.find(name);
  if (client == nullptr) return;
  if (client->phase == ClientPhase::thawing || state_ == State::normal) {
    set_phase(*client, ClientPhase::idle);
  }
  // It was frozen for a rehearsal, and the update that goes on from there has not asked it.
  if (state_ == State::prepared && clients_.connected(*client) && !is_left_out(name)) {
    update_.came(name);
  }
  journal_.note_client(name);
  wake();
}

void Engine::call_undo(const std::string& name) {
  const auto it = owed_.find(name);
  auto* const client = clients_.find(name);
  if (it == owed_.end() || it->second.called) return;
  if (client == nullptr || !clients_.connected(*client)) {
    return owe_no_more(name);
  }
  it->second.called = true;
  ++it->second.calls;
  ++counters_.calls;
  if (it->second.pause_usec != 0) {
    ++counters_.thaws_repeated;
    log::event(log::Id::thaw_repeated, log::Level::warning,
               {{log::Field::client, name},
                {log::Field::unit, client->owner.unit},
                {log::Field::count, it->second.calls}},
               to_string(it->second.call), " is called again on client '", name, "'.");
  }
  ClientCallArguments arguments;
  arguments.generation = generation_;
  arguments.timeout_usec = setup_.config.thaw_timeout_usec;
  if (update_.failure()) arguments.reason = update_.failure()->message;
  outside_.call_client(*client, it->second.call, arguments,
                       [this, alive = alive_, name](const Outside::Answer& answer) {
                         if (*alive) undone(name, answer);
                       });
}

void Engine::undone(const std::string& name, const Outside::Answer& answer) {
  if (answer.late) ++counters_.late_answers;
  const auto it = owed_.find(name);
  if (it == owed_.end()) return;
  auto* const client = clients_.find(name);
  if (answer.result) {
    if (auto* const times = update_.times(name); client != nullptr &&
                                                 client->phase == ClientPhase::thawing &&
                                                 times != nullptr && times->frozen_at) {
      times->running_at = host_.now();
      journal_.note_times(name);
    }
    return owe_no_more(name);
  }
  if (answer.late) return;
  if (answer.result.error().code == ErrorCode::client_gone) return owe_no_more(name);
  it->second.called = false;
  it->second.pause_usec = std::clamp(2 * it->second.pause_usec, first_owed_usec, longest_owed_usec);
  it->second.alarm = host_.after(it->second.pause_usec, [this, name] { call_undo(name); });
}

// ---- restored, or not

void Engine::restored(ClientRecord& client) {
  restore_failures_.erase(client.name);
  set_phase(client, ClientPhase::restored);
  if (update_.record() && !update_.marked(Mark::first_restored)) mark(Mark::first_restored);
  // How long a gate looks at the host is no part of the others' restore.
  if (!client.gate || !update_.marked(Mark::clients_restored)) mark(Mark::clients_restored);
  update_.runs_again(client.name);
  set_job(JobPhase::restore, update_.restore_progress(), update_.restore_detail());
  // What is done for those that run, ending their sessions and making them anew, takes the CPU of
  // those that stand still.
  sessions_.put_off(true);
  pause_alarm_ = host_.after(longest_pause_usec, [this] { sessions_.put_off(false); });
  finish_sessions_of(client.name, "was not retrieved by client '" + client.name + "'",
                     /*can_wait=*/true);
}

void Engine::give_up(ClientRecord& client, const std::string& reason) {
  report_loss("", client.name, "Client '" + client.name + "' is given up: " + reason);
  set_phase(client, ClientPhase::given_up);
  if (setup_.config.unclaimed == Unclaimed::free) {
    finish_sessions_of(client.name, "was not claimed");
  }
}

}  // namespace handover::engine

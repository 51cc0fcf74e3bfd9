// SPDX-License-Identifier: LGPL-2.1-or-later
// Calling the clients, wave by wave, and what their answers mean.
#include <algorithm>
#include <utility>

#include "engine/engine.h"
#include "system/boot.h"
#include "system/log.h"

namespace handover::engine {

namespace {

Direction direction_of(ClientCall call) {
  return call == ClientCall::freeze ? Direction::dependants_first : Direction::dependencies_first;
}

const char* name_of(ClientCall call) {
  switch (call) {
    case ClientCall::prepare:
      return "Prepare";
    case ClientCall::cancel:
      return "Cancel";
    case ClientCall::freeze:
      return "Freeze";
    case ClientCall::thaw:
      return "Thaw";
    case ClientCall::restore:
      return "Restore";
  }
  return "?";
}

}  // namespace

std::set<std::string> Engine::clients_in(std::initializer_list<ClientPhase> phases) const {
  std::set<std::string> names;
  for (const auto& [name, client] : clients_) {
    if (std::find(phases.begin(), phases.end(), client.phase) != phases.end()) names.insert(name);
  }
  return names;
}

std::map<std::string, std::vector<std::string>> Engine::needs() const {
  std::map<std::string, std::vector<std::string>> needs;
  for (const auto& [name, client] : clients_) needs[name] = client.needs;
  return needs;
}

std::uint64_t Engine::timeout_of(const ClientRecord& client, ClientCall call) const {
  const auto or_default = [](std::uint64_t own, std::uint64_t configured) {
    return own != 0 ? own : configured;
  };
  switch (call) {
    case ClientCall::prepare:
      return or_default(client.prepare_timeout_usec, setup_.config.prepare_timeout_usec);
    case ClientCall::freeze:
      return or_default(client.freeze_timeout_usec, setup_.config.freeze_timeout_usec);
    case ClientCall::restore:
      return or_default(client.restore_timeout_usec, setup_.config.restore_timeout_usec);
    case ClientCall::cancel:
    case ClientCall::thaw:
      break;
  }
  return setup_.config.thaw_timeout_usec;
}

void Engine::start_pass(ClientCall call, Event then, const std::set<std::string>& only) {
  auto needed = needs();
  if (call != ClientCall::prepare) {
    for (auto& [name, others] : needed) {
      std::erase_if(others, [&](const std::string& other) { return !needed.contains(other); });
    }
  }
  const auto graph = Graph::make(needed);
  if (!graph) return fail_update(graph.error());
  ++pass_epoch_;
  pass_.emplace(Pass{call == ClientCall::prepare ? Wave(*graph, direction_of(call))
                                                 : Wave(*graph, direction_of(call), only),
                     call,
                     then,
                     {},
                     false});
  if (call == ClientCall::thaw || call == ClientCall::cancel) {
    // A client that is not here (direct connection of an earlier daemon) has this long to return.
    absent_timer_ = loop_.after(setup_.config.thaw_timeout_usec, [this] { absent_time_over(); });
  }
  advance_pass();
}

void Engine::advance_pass() {
  const auto epoch = pass_epoch_;
  // deliver() can end the pass, or pass over a client and make others ready.
  for (auto ready = pass_->wave.take_ready(); !ready.empty(); ready = pass_->wave.take_ready()) {
    for (const auto& name : ready) {
      deliver(name);
      if (!pass_ || epoch != pass_epoch_) return;
    }
  }
  if (!pass_->wave.finished()) return;
  const auto then = pass_->then;
  pass_.reset();
  absent_timer_.cancel();
  post(then);
}

void Engine::deliver(const std::string& name) {
  if (!pass_ || !pass_->wave.waiting().contains(name) || pass_->called.contains(name)) return;
  const auto call = pass_->call;
  auto& client = clients_.at(name);
  if (!connected(client)) {
    if (call == ClientCall::prepare || call == ClientCall::freeze) {
      if (client.required) {
        return fail_update(Error{ErrorCode::client_gone, "Client '" + name + "' is not here."});
      }
      pass_->wave.done(name);
    } else if (call == ClientCall::cancel && !client.bus_name.empty()) {
      // It left: with the process went what it had prepared.
      set_phase(client, ClientPhase::idle);
      pass_->wave.done(name);
    } else if (pass_->absent_time_over) {
      pass_over(client);
    }
    // Thaw waits for absent_timer_ (its successor may have to thaw what it froze), Cancel too for
    // a direct connection of an earlier daemon; Restore for claim_timer_.
    return;
  }
  switch (call) {
    case ClientCall::prepare:
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
      break;
    case ClientCall::cancel:
    case ClientCall::restore:
      break;
  }
  const auto sent_call =
      call == ClientCall::thaw && client.phase != ClientPhase::thawing ? ClientCall::cancel : call;
  ClientCallArguments arguments;
  arguments.generation = generation_;
  arguments.timeout_usec = timeout_of(client, call);
  if (call == ClientCall::prepare && update_) arguments.kernel_release = update_->kernel_release;
  if (failure_) arguments.reason = failure_->message;
  pass_->called.insert(name);
  outside_.call_client(
      client, sent_call, arguments,
      [this, epoch = pass_epoch_, name, sent = system::counter_now()](Result<void> result) {
        answered(epoch, name, sent, std::move(result));
      });
}

void Engine::answered(std::uint64_t epoch, const std::string& name, Ticks sent,
                      Result<void> result) {
  if (!pass_ || epoch != pass_epoch_) return;
  pass_->called.erase(name);
  const auto call = pass_->call;
  auto& client = clients_.at(name);
  if (result) {
    answered_well(client, call, sent);
  } else if (!answered_badly(client, call, result.error())) {
    return;
  }
  if (!pass_ || epoch != pass_epoch_) return;
  pass_->wave.done(name);
  advance_pass();
}

void Engine::answered_well(ClientRecord& client, ClientCall call, Ticks sent) {
  const auto now = system::counter_now();
  auto* times = update_ ? &update_->timeline.clients[client.name] : nullptr;
  const auto took =
      update_ ? ticks_to_usec(now - sent, update_->timeline.ticks_per_second) : UINT64_C(0);
  switch (call) {
    case ClientCall::prepare:
      set_phase(client, ClientPhase::prepared);
      if (times) times->prepare_usec = took;
      break;
    case ClientCall::freeze:
      set_phase(client, ClientPhase::frozen);
      if (times) {
        times->freeze_usec = took;
        times->frozen_at = now;
      }
      break;
    case ClientCall::cancel:
      set_phase(client, ClientPhase::idle);
      break;
    case ClientCall::thaw:
      set_phase(client, ClientPhase::idle);
      if (times && times->frozen_at) times->running_at = now;
      break;
    case ClientCall::restore:
      if (times) {
        times->restore_usec = took;
        times->running_at = now;
      }
      restored(client);
      break;
  }
}

bool Engine::answered_badly(ClientRecord& client, ClientCall call, const Error& error) {
  const auto sentence = "Client '" + client.name + "', " + name_of(call) + ": " + error.message;
  switch (call) {
    case ClientCall::prepare:
    case ClientCall::freeze:
      if (client.required) {
        fail_update(Error{error.code, sentence});
        return false;
      }
      log::warning(sentence, " (it is optional: the update goes on without it)");
      leave_out(client, call, error);
      return true;
    case ClientCall::cancel:
    case ClientCall::thaw:
      log::error(sentence);
      if (call == ClientCall::thaw && failure_) failure_->message.append(" ").append(sentence);
      set_phase(client, ClientPhase::idle);
      return true;
    case ClientCall::restore:
      if (!client.required) {
        give_up(client, sentence);
        return true;
      }
      // It may be restarted and register again; until then, and claim_timer_, its state is kept.
      log::error(sentence, "; its state is kept until it registers again.");
      return false;
  }
  return true;
}

void Engine::leave_out(ClientRecord& client, ClientCall call, const Error& error) {
  ClientCallArguments arguments;
  arguments.generation = generation_;
  arguments.timeout_usec = setup_.config.thaw_timeout_usec;
  arguments.reason = error.message;
  set_phase(client, ClientPhase::idle);
  outside_.call_client(client, call == ClientCall::freeze ? ClientCall::thaw : ClientCall::cancel,
                       arguments, [name = client.name](const Result<void>& result) {
                         if (!result) log::warning("Client '", name, "': ", result.error().message);
                       });
}

void Engine::set_phase(ClientRecord& client, ClientPhase phase) {
  if (client.phase == phase) return;
  client.phase = phase;
  outside_.client_changed(client);
}

void Engine::restored(ClientRecord& client) {
  set_phase(client, ClientPhase::restored);
  if (update_ && !update_->timeline.marks.contains(Mark::first_restored)) {
    mark(Mark::first_restored);
  }
  mark(Mark::clients_restored);
  finish_sessions(incoming_sessions_of(client.name),
                  "was not retrieved by client '" + client.name + "'");
}

std::vector<std::string> Engine::incoming_sessions_of(const std::string& client) const {
  auto names = sessions_.incoming();
  std::erase_if(names, [&](const std::string& name) {
    return sessions_.find(name)->record.client != client;
  });
  return names;
}

void Engine::finish_sessions(const std::vector<std::string>& names, const std::string& why) {
  for (const auto& name : names) {
    if (auto held = sessions_.find(name, Owner{}); held) {
      if (auto begun = Sessions::begin_finish(**held); !begun) log::error(begun.error().message);
    }
  }
  persist_or_log();
  for (const auto& name : names) finish_session(name, why);
  if (!names.empty()) persist_or_log();
}

void Engine::finish_session(const std::string& session, const std::string& why) {
  const auto client = sessions_.find(session)->record.client;
  const auto unclaimed = sessions_.finish(session);
  if (!unclaimed) return report_loss(session, client, unclaimed.error().message);
  outside_.session_removed(session);
  for (const auto token : *unclaimed) report_unclaimed(session, client, token, why);
}

void Engine::report_unclaimed(const std::string& session, const std::string& client,
                              std::uint64_t token, const std::string& why) {
  report_loss(
      session, client,
      "Session '" + session + "', token " + std::to_string(token) + " " + why + " and is freed.");
}

void Engine::give_up(ClientRecord& client, const std::string& reason) {
  report_loss("", client.name, "Client '" + client.name + "' is given up: " + reason);
  set_phase(client, ClientPhase::given_up);
  finish_sessions(incoming_sessions_of(client.name), "was not claimed");
}

void Engine::claim_time_over() {
  for (auto& [name, client] : clients_) {
    if (client.phase != ClientPhase::restoring) continue;
    // Who is here and has not had its turn, since it needs somebody who did not come, gets it now;
    // who is being called has its own time limit.
    const bool has_failed = pass_ && pass_->wave.waiting().contains(name);
    if (connected(client) && !has_failed) continue;
    if (pass_ && pass_->called.contains(name)) continue;
    give_up(client, "it did not come back and restore within the claim time.");
    if (pass_) pass_->wave.done(name);
  }
  // Also those of clients that are no longer registered.
  auto left = sessions_.incoming();
  std::erase_if(left, [&](const std::string& name) {
    const auto client = clients_.find(sessions_.find(name)->record.client);
    return client != clients_.end() && client->second.phase == ClientPhase::restoring;
  });
  finish_sessions(left, "was not claimed within the claim time");
  if (!pass_) return;
  await_claims();
  advance_pass();
}

/// Those who wait for somebody that was absent may be absent themselves: deliver() passes them
/// over.
void Engine::absent_time_over() {
  if (!pass_) return;
  pass_->absent_time_over = true;
  const auto waiting = pass_->wave.waiting();
  for (const auto& name : waiting) {
    if (!pass_->called.contains(name)) pass_over(clients_.at(name));
  }
  advance_pass();
}

void Engine::pass_over(ClientRecord& client) {
  if (pass_->call == ClientCall::thaw) {
    const auto sentence = "Client '" + client.name + "' is gone and could not be thawed.";
    log::error(sentence);
    if (failure_) failure_->message.append(" ").append(sentence);
  }
  set_phase(client, ClientPhase::idle);
  pass_->wave.done(client.name);
}

void Engine::report_loss(const std::string& session, const std::string& client,
                         std::string reason) {
  log::error(reason);
  outside_.state_lost(session, client, reason);
  if (update_) {
    update_->losses.push_back(std::move(reason));
    return;
  }
  // After the update was over (claim time): its record tells of it all the same.
  history_.add_loss(std::move(reason));
  write_history(0);
}

}  // namespace handover::engine

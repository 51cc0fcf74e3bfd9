// SPDX-License-Identifier: LGPL-2.1-or-later
// What clients and owners of sessions ask for outside an update.
#include <algorithm>
#include <utility>

#include "core/names.h"
#include "engine/engine.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// A client's own time limit: what waits longer waits for a mistake.
constexpr std::uint64_t longest_timeout_usec = UINT64_C(30) * 86'400 * 1'000'000;

Result<void> check_timeout(const char* name, std::uint64_t usec) {
  if (usec <= longest_timeout_usec) return {};
  return fail(ErrorCode::invalid_argument, std::string("Option '") + name +
                                               "' is longer than 30 days; leave it out for the "
                                               "configured limit.");
}

Error belongs_to_another(const ClientRecord& client, const char* what_to_do) {
  return Error{ErrorCode::access_denied,
               "Client '" + client.name + "' belongs to uid " + std::to_string(client.owner.uid) +
                   (client.owner.unit.empty() ? "" : ", unit " + client.owner.unit) + "; " +
                   what_to_do,
               0};
}

}  // namespace

// ---- clients

/// What a client that registers now has to expect.
std::string Engine::next_step_for(const ClientRecord& client) const {
  if (state_ == State::restoring && client.phase == ClientPhase::restoring) return "restoring";
  if ((state_ == State::thawing || state_ == State::withdrawing) &&
      (client.phase == ClientPhase::frozen || client.phase == ClientPhase::freezing ||
       client.phase == ClientPhase::thawing)) {
    return "thawing";
  }
  return "new";
}

void Engine::apply_limits(ClientRecord& client) const {
  const auto limits = setup_.config.clients.find(client.name);
  if (limits == setup_.config.clients.end()) return;
  const auto& own = limits->second;
  client.prepare_timeout_usec = own.prepare_timeout_usec.value_or(client.prepare_timeout_usec);
  client.freeze_timeout_usec = own.freeze_timeout_usec.value_or(client.freeze_timeout_usec);
  client.restore_timeout_usec = own.restore_timeout_usec.value_or(client.restore_timeout_usec);
  client.required = own.required.value_or(client.required);
}

void Engine::register_client(ClientRecord client, const Caller& caller, Reply<std::string> reply) {
  if (auto valid = check_name(client.name); !valid) return reply(fail(valid.error()));
  for (const auto& need : client.needs) {
    if (auto valid = check_name(need); !valid) return reply(fail(valid.error()));
  }
  if (client.needs.size() > setup_.config.max_needs_per_client) {
    return reply(fail(ErrorCode::limit_exceeded,
                      "Client '" + client.name + "' needs " + std::to_string(client.needs.size()) +
                          " others, more than " +
                          std::to_string(setup_.config.max_needs_per_client) +
                          "; name only those that it needs itself, or raise "
                          "max_needs_per_client."));
  }
  for (const auto& valid : {check_timeout("prepare-timeout-usec", client.prepare_timeout_usec),
                            check_timeout("restore-timeout-usec", client.restore_timeout_usec)}) {
    if (!valid) return reply(fail(valid.error()));
  }
  // However long it wants, freeze_budget is the limit of the whole freeze.
  client.freeze_timeout_usec = std::min(client.freeze_timeout_usec, longest_timeout_usec);

  const auto* known = clients_.find(client.name);
  if (known != nullptr) {
    if (!may_use(known->owner, caller.owner)) {
      return reply(fail(belongs_to_another(*known, "choose another name.")));
    }
    if (clients_.connected(*known) && known->bus_name != caller.connection) {
      return reply(fail(ErrorCode::name_taken, "A client '" + client.name +
                                                   "' is connected already; choose another name."));
    }
  }
  const bool stands_still = is_blackout(state_) && state_ != State::restoring;
  if (stands_still && (known == nullptr || next_step_for(*known) == "new")) {
    return reply(fail(ErrorCode::busy, "An update is in state " + std::string(to_string(state_)) +
                                           "; register again when it is over."));
  }
  client.owner = known == nullptr ? caller.owner : known->owner;
  client.bus_name = caller.connection;
  std::vector<Charge> charges;
  if (known == nullptr) {
    auto charge = ledger_.take(client.owner, Resource::clients, 1);
    if (!charge) return reply(fail(charge.error()));
    charges.push_back(std::move(*charge));
  } else {
    charges.push_back(ledger_.take_anyway(client.owner, Resource::clients, 1));
    client.extra = known->extra;
    // A client that died frozen and comes anew has nothing to thaw, but answers Thaw all the same.
    client.phase = next_step_for(*known) == "new" ? ClientPhase::idle : known->phase;
    client.quiesced = known->quiesced;
  }
  charges.push_back(ledger_.take_anyway(client.owner, Resource::needs, client.needs.size()));
  apply_limits(client);

  const auto name = client.name;
  const bool added = known == nullptr;
  // Another process owes nothing: what was to be thawed is gone.
  if (known != nullptr && known->bus_name != caller.connection) owed_.erase(name);
  clients_.connect(caller.connection);
  const auto put = clients_.put(std::move(client), std::move(charges));
  if (!put) return reply(fail(put.error()));
  const auto& record = **put;
  const bool rehearsed = state_ == State::thawing && update_.rehearsing();
  if (state_ == State::preparing || state_ == State::prepared || rehearsed) update_.came(name);
  journal_.note_client(name);
  if (added) outside_.client_added(name);
  outside_.client_changed(record);
  when_written(
      [this, name, next = next_step_for(record), reply = std::move(reply)](const Result<void>&) {
        // The client learns what to expect before it is called. That the manifest could not be
        // written is in the log: it is registered all the same.
        reply(next);
        if (pass_ && pass_->waits_for(name) && !pass_->is_called(name)) {
          host_.post([this, alive = alive_, name] {
            if (*alive) take_turn(name);
          });
        }
      });
}

void Engine::unregister_client(const std::string& name, const Caller& caller, Reply<void> reply) {
  const auto* client = clients_.find(name);
  if (client == nullptr) {
    return reply(fail(ErrorCode::no_such_client,
                      "There is no client '" + name + "'; list them with 'handoverctl clients'."));
  }
  if (!may_use(client->owner, caller.owner)) {
    return reply(fail(belongs_to_another(*client, "only its owner or root may unregister it.")));
  }
  if (state_ != State::normal && !may_leave_now(*client, caller)) {
    return reply(fail(ErrorCode::busy, "An update is in state " + std::string(to_string(state_)) +
                                           "; unregister when it is over, or cancel it."));
  }
  leave(*client);
  reply_when_written(std::move(reply));
}

/// While an update runs: by itself, as long as nobody stands still, and once it has been restored.
/// Whoever unregisters another one leaves that one prepared.
bool Engine::may_leave_now(const ClientRecord& client, const Caller& caller) const {
  if (clients_.connected(client) && client.bus_name != caller.connection) return false;
  if (state_ == State::restoring) return client.phase != ClientPhase::restoring;
  return state_ == State::preparing || state_ == State::prepared;
}

/// With its leave. An update that is being prepared ends by that, or goes on without it.
void Engine::leave(const ClientRecord& client) {
  const auto name = client.name;
  const bool required = client.required;
  const bool prepares = state_ == State::preparing || state_ == State::prepared;
  log::event(log::Id::client_left, log::Level::info,
             {{log::Field::client, name}, {log::Field::unit, client.owner.unit}}, "Client '", name,
             "' has unregistered.");
  drop_client(name);
  if (!prepares) return;
  update_.left(name);
  if (required) {
    return fail_update(
        Error{ErrorCode::client_gone, "Client '" + name + "' has unregistered in state " +
                                          std::string(to_string(state_)) + "."},
        Culprit{name});
  }
  if (!pass_ || !pass_->waits_for(name)) return;
  pass_->done(name);
  pass_moved_ = true;
  wake();
}

void Engine::drop_client(const std::string& name) {
  owed_.erase(name);
  clients_.drop(name);
  forget_lost([&](const LostSession& lost) { return lost.client == name; });
  journal_.note_client(name);
  outside_.client_removed(name);
}

/// Nobody stands still for who only wants to know.
bool Engine::leaves_kernel() const {
  return state_ == State::freezing || state_ == State::frozen || state_ == State::rebooting;
}

void Engine::refresh_sessions(std::function<void()> then) {
  if (leaves_kernel()) return then();
  look_at_module([this, then = std::move(then)] {
    // The look waits for the module: an update may have begun to leave meanwhile.
    if (leaves_kernel()) return then();
    sessions_.refresh_all(then);
  });
}

std::optional<backend::Module> Engine::module() {
  if (!looks_at_module_ && !leaves_kernel()) {
    looks_at_module_ = true;
    look_at_module([this] { looks_at_module_ = false; });
  }
  return sessions_.module();
}

/// On the pool: the module has one lock, which sealing and other callers hold for their time.
void Engine::look_at_module(std::function<void()> then) {
  const auto& look = sessions_.keepers().refresh_module;
  if (emulated() || !look) return then();
  host_.run(module_queue,
            [alive = alive_, look, then = std::move(then)]() -> std::function<void()> {
              (void)run_or_fail("looking at the module", look);
              return [alive, then] {
                if (*alive) then();
              };
            });
}

/// Whom an update waited for in vain, and who has nothing left: the next one goes without it.
void Engine::drop_absent_clients() {
  std::vector<std::string> absent;
  for (const auto& [name, client] : clients_.all()) {
    if (!clients_.connected(client) && sessions_.of_client(name).empty()) absent.push_back(name);
  }
  for (const auto& name : absent) drop_client(name);
}

void Engine::connection_gone(const std::string& connection) {
  clocks_.connection_gone(connection);
  std::optional<Error> failure;
  Culprit culprit;
  for (const auto& name : clients_.disconnect(connection)) {
    auto* const client = clients_.find(name);
    if (client == nullptr) continue;
    log::event(log::Id::client_left, log::Level::info,
               {{log::Field::client, name}, {log::Field::unit, client->owner.unit}}, "Client '",
               name, "' has left the bus.");
    owe_no_more(name);
    update_.left(name);
    const bool being_called = pass_ && pass_->is_called(name);
    const bool counts = state_ == State::preparing || state_ == State::prepared ||
                        state_ == State::freezing || state_ == State::frozen;
    if (state_ == State::normal && sessions_.of_client(name).empty()) {
      drop_client(name);
    } else if (counts && client->required && !being_called) {
      if (!failure) {
        failure = Error{ErrorCode::client_gone, "Client '" + name + "' left the bus in state " +
                                                    std::string(to_string(state_)) + "."};
        culprit.client = name;
      }
      outside_.client_changed(*client);
    } else {
      if (state_ == State::normal && client->phase == ClientPhase::thawing) {
        client->phase = ClientPhase::idle;
      }
      outside_.client_changed(*client);
      if (pass_ && pass_->call() == ClientCall::cancel && pass_->waits_for(name) && !being_called) {
        take_turn(name);
      }
    }
  }
  if (failure) fail_update(std::move(*failure), std::move(culprit));
  pass_moved_ = true;
  wake();
}

// ---- sessions

Result<void> Engine::may_change_sessions() const {
  if (is_blackout(state_) && state_ != State::restoring) {
    return fail(ErrorCode::busy, "An update is in state " + std::string(to_string(state_)) +
                                     "; try again when it is over.");
  }
  return {};
}

void Engine::touched(const std::string& session) {
  if (state_ == State::preparing || state_ == State::prepared) update_.touch(session);
}

const ClientRecord* Engine::client_of(const std::string& session) const {
  const auto* held = sessions_.find(session);
  return held == nullptr ? nullptr : clients_.find(held->record.client);
}

/// Until the caller has its answer, the time limit of the call that it works on stands still. By
/// the connection that asks: whose session it is does not matter, since nobody is to stretch
/// another's time.
template <typename T>
Reply<T> Engine::on_our_time(const Caller& caller, Reply<T> reply) {
  if (!clients_.any_at(caller.connection)) return reply;
  return
      [work = clocks_.begin_work(caller.connection), reply = std::move(reply)](Result<T> result) {
        work->end();
        reply(std::move(result));
      };
}

void Engine::create_session(const std::string& name, std::optional<Keeper> keeper,
                            const std::string& client, const Caller& caller, Reply<void> reply) {
  if (auto may = may_change_sessions(); !may) return reply(may);
  Sessions::Spec spec;
  if (!client.empty()) {
    const auto* record = clients_.find(client);
    if (record == nullptr) {
      return reply(fail(ErrorCode::no_such_client,
                        "There is no client '" + client + "'; register it before its sessions."));
    }
    if (!may_use(record->owner, caller.owner)) {
      return reply(fail(belongs_to_another(*record, "make the session without it.")));
    }
    spec.can_wait = record->phase == ClientPhase::restored;
  }
  spec.id = next_id_++;
  spec.name = name;
  spec.owner = caller.owner;
  spec.cgroup = caller.cgroup;
  spec.keeper = keeper;
  spec.client = client;
  sessions_.create(std::move(spec), [this, name, reply = on_our_time(caller, std::move(reply))](
                                        const Result<void>& made) {
    if (!made) return reply(made);
    journal_.note_head();
    when_written([this, name, reply](const Result<void>& written) {
      if (written) {
        outside_.session_added(name);
        return reply(written);
      }
      // Nobody would find it again: as if it had not been made.
      auto held = sessions_.find(name, Owner{});
      if (!held) return reply(written);
      sessions_.discard(**held, [reply, written](const Result<void>&) { reply(written); });
    });
  });
}

/// Acts on the session when it is here: its owner may call again before it has the answer to
/// CreateSession.
void Engine::with_session(const std::string& session, const Caller& caller,
                          const std::function<void(Sessions::Held&)>& act,
                          const std::function<void(const Error&)>& refuse) {
  const auto again = [this, alive = alive_, session, caller, act, refuse] {
    if (*alive) with_session(session, caller, act, refuse);
  };
  if (sessions_.wait_for(session, caller.owner, again)) return;
  auto held = sessions_.find_usable(session, caller.owner);
  if (!held) return refuse(held.error());
  act(**held);
}

namespace {

Error session_has_ended() { return {ErrorCode::no_such_session, "The session has ended."}; }

template <typename T>
std::function<void(const Error&)> refusal(const Reply<T>& reply) {
  return [reply](const Error& error) { reply(fail(error)); };
}

}  // namespace

void Engine::preserve(const std::string& session, std::uint64_t token, UniqueFd fd, bool blob,
                      std::optional<Keeper> keeper, const Caller& caller,
                      const Reply<void>& asked) {
  if (auto may = may_change_sessions(); !may) return asked(may);
  const auto reply = on_our_time(caller, asked);
  auto shared = std::make_shared<UniqueFd>(std::move(fd));
  const auto written = [this, session, token, reply](const Result<void>& done) {
    if (done) {
      forget_lost([&](const LostSession& lost) {
        return lost.session == session && (!lost.token || lost.token == token);
      });
      outside_.token_added(session, token);
      return reply(done);
    }
    auto there = sessions_.find(session, Owner{});
    if (!there) return reply(done);
    sessions_.unpreserve(**there, token, [reply, done](const Result<void>&) { reply(done); });
  };
  const auto preserved = [this, session, written, reply](const Result<void>& done) {
    if (!done) return reply(done);
    touched(session);
    when_written(written);
  };
  with_session(
      session, caller,
      [this, token, shared, blob, keeper, cgroup = caller.cgroup, preserved](Sessions::Held& held) {
        sessions_.refresh(held, [this, token, shared, blob, keeper, cgroup,
                                 preserved](Sessions::Held* there) {
          if (there == nullptr) return preserved(fail(session_has_ended()));
          sessions_.preserve(*there, token, std::move(*shared), blob, keeper, cgroup, preserved);
        });
      },
      refusal(reply));
}

void Engine::unpreserve(const std::string& session, std::uint64_t token, const Caller& caller,
                        const Reply<void>& asked) {
  if (auto may = may_change_sessions(); !may) return asked(may);
  const auto reply = on_our_time(caller, asked);
  const auto unpreserved = [this, session, token, reply](const Result<void>& done) {
    touched(session);
    if (done) outside_.token_removed(session, token);
    when_written([reply, done](const Result<void>&) { reply(done); });
  };
  with_session(
      session, caller,
      [this, token, unpreserved](Sessions::Held& held) {
        sessions_.refresh(held, [this, token, unpreserved](Sessions::Held* there) {
          if (there == nullptr) return unpreserved(fail(session_has_ended()));
          sessions_.unpreserve(*there, token, unpreserved);
        });
      },
      refusal(reply));
}

void Engine::open_tracker(const std::string& session, const Caller& caller,
                          const Reply<UniqueFd>& reply) {
  open_kernel_session(session, caller, &Sessions::open_tracker, reply);
}

void Engine::open_luo(const std::string& session, const Caller& caller,
                      const Reply<UniqueFd>& reply) {
  open_kernel_session(session, caller, &Sessions::open_luo, reply);
}

void Engine::open_kernel_session(const std::string& session, const Caller& caller,
                                 void (Sessions::*open)(Sessions::Held&, Reply<UniqueFd>),
                                 const Reply<UniqueFd>& asked) {
  if (auto may = may_change_sessions(); !may) return asked(fail(may.error()));
  const auto reply = on_our_time(caller, asked);
  const auto opened = [this, session, reply](Result<UniqueFd> fd) {
    if (!fd) return reply(std::move(fd));
    // Without this on record, what is preserved there would come back unnoticed.
    auto shared = std::make_shared<UniqueFd>(std::move(*fd));
    touched(session);
    when_written([this, session, shared, reply](const Result<void>& written) {
      if (!written) return reply(fail(written.error()));
      forget_lost([&](const LostSession& lost) { return lost.session == session; });
      outside_.session_changed(session, "Tokens");
      reply(std::move(*shared));
    });
  };
  with_session(
      session, caller,
      [this, open, opened](Sessions::Held& held) { (sessions_.*open)(held, opened); },
      refusal(reply));
}

void Engine::retrieve(const std::string& session, std::uint64_t token, const Caller& caller,
                      const Reply<UniqueFd>& asked) {
  const auto reply = on_our_time(caller, asked);
  const auto began = host_.now();
  const auto retrieved = [this, session, token, began, reply](Result<UniqueFd> fd) {
    const bool given = fd.has_value();
    // It is noted after the reply is on its way: a daemon that dies in between must give it once
    // more.
    reply(std::move(fd));
    if (!given) return;
    const auto* held = sessions_.find(session);
    if (held != nullptr && !held->record.incoming) {
      log::info("Session '", session, "', token ", token, " is given back to its owner.");
      return;
    }
    const auto took = ticks_to_usec(host_.now() - began, host_.ticks_per_second());
    log::event(log::Id::token_retrieved, log::Level::info,
               {{log::Field::session, session},
                {log::Field::client, held != nullptr ? held->record.client : ""},
                {log::Field::unit, held != nullptr ? unit_of(held->record) : ""},
                {log::Field::token, token},
                {log::Field::usec, took}},
               "Session '", session, "', token ", token, " is retrieved.");
    wake();
    outside_.session_changed(session, "Tokens");
  };
  with_session(
      session, caller,
      [this, token, cgroup = caller.cgroup, retrieved](Sessions::Held& held) {
        // What stands still must not be touched, by whoever has it.
        if (auto may = may_change_sessions(); !held.record.incoming && !may) {
          return retrieved(fail(may.error()));
        }
        if (!cgroup.empty()) held.record.cgroup = cgroup;
        sessions_.refresh(held, [this, token, cgroup, retrieved](Sessions::Held* there) {
          if (there == nullptr) return retrieved(fail(session_has_ended()));
          sessions_.retrieve(*there, token, cgroup, retrieved);
        });
      },
      [retrieved](const Error& error) { retrieved(fail(error)); });
}

void Engine::finish(const std::string& session, const Caller& caller, const Reply<void>& asked) {
  const auto reply = on_our_time(caller, asked);
  const auto finished = [this, reply](const SessionRecord& record,
                                      const Result<std::vector<std::uint64_t>>& unclaimed) {
    if (!unclaimed) return reply(fail(unclaimed.error()));
    for (const auto token : *unclaimed) {
      if (record.luo_claimed) break;  // he may have taken it by OpenLUO's descriptor
      log::event(log::Id::session_unclaimed, log::Level::warning,
                 {{log::Field::session, record.name},
                  {log::Field::client, record.client},
                  {log::Field::unit, unit_of(record)},
                  {log::Field::token, token}},
                 "Session '", record.name, "': token ", token, " was not retrieved and is freed.");
    }
    when_written([reply](const Result<void>&) { reply({}); });
  };
  with_session(
      session, caller,
      [this, finished](Sessions::Held& held) {
        sessions_.finish(held, false, [record = held.record, finished](const auto& unclaimed) {
          finished(record, unclaimed);
        });
      },
      refusal(reply));
}

void Engine::discard(const std::string& session, const Caller& caller, const Reply<void>& asked) {
  if (auto may = may_change_sessions(); !may) return asked(may);
  const auto reply = on_our_time(caller, asked);
  const auto discarded = [this, session, reply](const Result<void>& done) {
    if (!done) return reply(done);
    forget_lost([&](const LostSession& lost) { return lost.session == session; });
    touched(session);
    when_written([reply](const Result<void>&) { reply({}); });
  };
  with_session(
      session, caller,
      [this, discarded](Sessions::Held& held) { sessions_.discard(held, discarded); },
      refusal(reply));
}

}  // namespace handover::engine

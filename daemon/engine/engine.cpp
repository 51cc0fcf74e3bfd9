// SPDX-License-Identifier: LGPL-2.1-or-later
// What clients ask for outside an update: registering, and their sessions.
#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "core/names.h"
#include "system/log.h"

namespace handover::engine {

Engine::Engine(system::Loop& loop, Outside& outside, Sessions sessions, Setup setup)
    : loop_(loop),
      outside_(outside),
      sessions_(std::move(sessions)),
      setup_(std::move(setup)),
      history_(setup_.state_directory + "/history.json", setup_.config.history_entries),
      worker_(loop) {}

const History& Engine::history() {
  if (auto loaded = history_.load(); !loaded) log::error(loaded.error().message);
  return history_;
}

bool Engine::connected(const ClientRecord& client) const {
  return connections_.contains(client.bus_name);
}

std::string Engine::next_step_for(const ClientRecord& client) const {
  if (state_ == State::restoring && client.phase == ClientPhase::restoring) return "restoring";
  if (state_ == State::thawing &&
      (client.phase == ClientPhase::frozen || client.phase == ClientPhase::freezing ||
       client.phase == ClientPhase::thawing)) {
    return "thawing";
  }
  return "new";
}

Result<void> Engine::check_cycles(const ClientRecord& with) const {
  auto needed = needs();
  needed[with.name] = with.needs;
  for (auto& [name, others] : needed) {
    // Clients start in any order: who is not here yet is checked when an update is asked for.
    std::erase_if(others, [&](const std::string& other) { return !needed.contains(other); });
  }
  if (auto graph = Graph::make(needed); !graph) return fail(graph.error());
  return {};
}

Result<std::string> Engine::register_client(ClientRecord client, const Caller& caller) {
  if (auto valid = check_name(client.name); !valid) return fail(valid.error());
  for (const auto& need : client.needs) {
    if (auto valid = check_name(need); !valid) return fail(valid.error());
  }
  const auto known = clients_.find(client.name);
  if (known != clients_.end()) {
    if (!may_use(known->second.owner, caller.owner)) {
      return fail(ErrorCode::access_denied, "Client '" + client.name + "' belongs to uid " +
                                                std::to_string(known->second.owner.uid) + " " +
                                                known->second.owner.unit +
                                                "; choose another name.");
    }
    if (connected(known->second) && known->second.bus_name != caller.connection) {
      return fail(ErrorCode::name_taken,
                  "A client '" + client.name + "' is connected already; choose another name.");
    }
  }
  const bool stands_still = is_blackout(state_) && state_ != State::restoring;
  if (stands_still && (known == clients_.end() || next_step_for(known->second) == "new")) {
    return fail(ErrorCode::busy, "An update is in state " + std::string(to_string(state_)) +
                                     "; register again when it is over.");
  }
  if (auto acyclic = check_cycles(client); !acyclic) return fail(acyclic.error());

  client.owner = known == clients_.end() ? caller.owner : known->second.owner;
  client.bus_name = caller.connection;
  if (known != clients_.end()) {
    client.extra = known->second.extra;
    // A client that died frozen and comes anew has nothing to thaw, but answers Thaw all the same.
    client.phase = next_step_for(known->second) == "new" ? ClientPhase::idle : known->second.phase;
  }
  if (const auto limits = setup_.config.clients.find(client.name);
      limits != setup_.config.clients.end()) {
    const auto& [prepare, freeze, restore, required] = limits->second;
    client.prepare_timeout_usec = prepare.value_or(client.prepare_timeout_usec);
    client.freeze_timeout_usec = freeze.value_or(client.freeze_timeout_usec);
    client.restore_timeout_usec = restore.value_or(client.restore_timeout_usec);
    client.required = required.value_or(client.required);
  }
  const auto name = client.name;
  const bool added = known == clients_.end();
  connections_.insert(caller.connection);
  auto& record = clients_.insert_or_assign(name, std::move(client)).first->second;
  if (state_ == State::preparing || state_ == State::prepared) stale_ = true;
  const auto next = next_step_for(record);
  persist_or_log();
  if (added) outside_.client_added(name);
  outside_.client_changed(record);
  // After the reply is on its way: the client learns what to expect before it is called.
  loop_.post([this, name] { deliver(name); });
  return next;
}

Result<void> Engine::unregister_client(const std::string& name, const Caller& caller) {
  const auto client = clients_.find(name);
  if (client == clients_.end()) {
    return fail(ErrorCode::no_such_client,
                "There is no client '" + name + "'; list them with 'handoverctl clients'.");
  }
  if (!may_use(client->second.owner, caller.owner)) {
    return fail(ErrorCode::access_denied,
                "Client '" + name +
                    "' belongs to somebody else; only its owner or root may "
                    "unregister it.");
  }
  if (state_ != State::normal) {
    return fail(ErrorCode::busy, "An update is in state " + std::string(to_string(state_)) +
                                     "; unregister when it is over, or cancel it.");
  }
  drop_client(name);
  persist_or_log();
  return {};
}

void Engine::drop_client(const std::string& name) {
  clients_.erase(name);
  outside_.client_removed(name);
}

bool Engine::owns_sessions(const std::string& client) const {
  return std::any_of(sessions_.all().begin(), sessions_.all().end(),
                     [&](const auto& held) { return held.second.record.client == client; });
}

/// Whom an update waited for in vain, and who has nothing left: the next one goes without it.
void Engine::drop_absent_clients() {
  std::vector<std::string> absent;
  for (const auto& [name, client] : clients_) {
    if (!connected(client) && !owns_sessions(name)) absent.push_back(name);
  }
  for (const auto& name : absent) drop_client(name);
}

void Engine::connection_gone(const std::string& connection) {
  if (connections_.erase(connection) == 0) return;
  std::vector<std::string> gone;
  for (const auto& [name, client] : clients_) {
    if (client.bus_name == connection) gone.push_back(name);
  }
  for (const auto& name : gone) {
    auto& client = clients_.at(name);
    log::info("Client '", name, "' has left the bus.");
    const bool being_called = pass_ && pass_->called.contains(name);
    const bool counts = state_ == State::preparing || state_ == State::prepared ||
                        state_ == State::freezing || state_ == State::frozen;
    if (state_ == State::normal && !owns_sessions(name)) {
      drop_client(name);
    } else if (counts && client.required && !being_called) {
      fail_update(Error{ErrorCode::client_gone, "Client '" + name + "' left the bus in state " +
                                                    std::string(to_string(state_)) + "."});
    } else {
      outside_.client_changed(client);
    }
  }
  persist_or_log();
}

Result<void> Engine::may_change_sessions() const {
  if (worker_busy_) {
    return fail(ErrorCode::busy,
                "The sessions are being made ready for an update; try again in a moment.");
  }
  if (is_blackout(state_) && state_ != State::restoring) {
    return fail(ErrorCode::busy, "An update is in state " + std::string(to_string(state_)) +
                                     "; try again when it is over.");
  }
  return {};
}

void Engine::session_touched(const std::string& name, const char* property) {
  if (state_ == State::prepared) stale_ = true;
  outside_.session_changed(name, property);
}

Result<void> Engine::create_session(const std::string& name, const std::string& backend,
                                    const std::string& client, const Caller& caller) {
  if (auto may = may_change_sessions(); !may) return may;
  if (!client.empty()) {
    const auto record = clients_.find(client);
    if (record == clients_.end()) {
      return fail(ErrorCode::no_such_client,
                  "There is no client '" + client + "'; register it before its sessions.");
    }
    if (!may_use(record->second.owner, caller.owner)) {
      return fail(ErrorCode::access_denied, "Client '" + client + "' belongs to somebody else.");
    }
  }
  if (auto made = sessions_.create(next_id_, name, caller.owner, backend, client); !made) {
    return fail(made.error());
  }
  ++next_id_;
  if (auto persisted = persist(); !persisted) {
    if (auto undone = sessions_.discard(name); !undone) {
      log::error(undone.error().message);
    }
    return persisted;
  }
  outside_.session_added(name);
  return {};
}

void Engine::refresh_sessions() {
  if (!worker_busy_) sessions_.refresh();
}

Result<UniqueFd> Engine::open_tracker(const std::string& session, const Caller& caller) {
  if (auto may = may_change_sessions(); !may) return fail(may.error());
  auto held = sessions_.find(session, caller.owner);
  if (!held) return fail(held.error());
  auto fd = sessions_.open_tracker(**held);
  if (!fd) return fd;
  // Without this on record, what is preserved there would come back unnoticed.
  if (auto persisted = persist(); !persisted) return fail(persisted.error());
  session_touched(session, "Tokens");
  return fd;
}

Result<void> Engine::preserve(const std::string& session, std::uint64_t token, int fd, bool blob,
                              const std::string& backend, const Caller& caller) {
  if (auto may = may_change_sessions(); !may) return may;
  sessions_.refresh();
  auto held = sessions_.find(session, caller.owner);
  if (!held) return fail(held.error());
  if (auto done = sessions_.preserve(**held, token, fd, blob, backend); !done) return done;
  if (auto persisted = persist(); !persisted) {
    if (auto undone = sessions_.unpreserve(**held, token); !undone) {
      log::error(undone.error().message);
    }
    return persisted;
  }
  session_touched(session, "Tokens");
  return {};
}

Result<void> Engine::unpreserve(const std::string& session, std::uint64_t token,
                                const Caller& caller) {
  if (auto may = may_change_sessions(); !may) return may;
  sessions_.refresh();
  auto held = sessions_.find(session, caller.owner);
  if (!held) return fail(held.error());
  auto done = sessions_.unpreserve(**held, token);
  persist_or_log();
  session_touched(session, "Tokens");
  return done;
}

Result<UniqueFd> Engine::retrieve(const std::string& session, std::uint64_t token,
                                  const Caller& caller) {
  auto held = sessions_.find(session, caller.owner);
  if (!held) return fail(held.error());
  refresh_sessions();
  auto fd = sessions_.retrieve(**held, token);
  if (!fd) return fd;
  // After the reply is on its way: a daemon that dies in between must give it once more.
  loop_.post([this] { persist_or_log(); });
  session_touched(session, "Tokens");
  return fd;
}

Result<void> Engine::finish(const std::string& session, const Caller& caller) {
  auto held = sessions_.find(session, caller.owner);
  if (!held) return fail(held.error());
  if (auto begun = Sessions::begin_finish(**held); !begun) return begun;
  // Written before it is done: a daemon that dies half-way must not call the rest lost.
  if (auto persisted = persist(); !persisted) {
    (*held)->record.ending = false;
    return persisted;
  }
  auto unclaimed = sessions_.finish(session);
  if (!unclaimed) return fail(unclaimed.error());
  for (const auto token : *unclaimed) {
    log::warning("Session '", session, "': token ", token, " was not retrieved and is freed.");
  }
  persist_or_log();
  outside_.session_removed(session);
  return {};
}

Result<void> Engine::discard(const std::string& session, const Caller& caller) {
  if (auto may = may_change_sessions(); !may) return may;
  auto held = sessions_.find(session, caller.owner);
  if (!held) return fail(held.error());
  if (auto begun = Sessions::begin_discard(**held); !begun) return begun;
  if (auto persisted = persist(); !persisted) {
    (*held)->record.ending = false;
    return persisted;
  }
  if (auto done = sessions_.discard(session); !done) {
    persist_or_log();
    return done;
  }
  if (state_ == State::prepared) stale_ = true;
  persist_or_log();
  outside_.session_removed(session);
  return {};
}

}  // namespace handover::engine

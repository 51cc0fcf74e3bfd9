// SPDX-License-Identifier: LGPL-2.1-or-later
// Start-up, and what clients ask for outside an update.
#include "engine/engine.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/names.h"
#include "system/boot.h"
#include "system/files.h"

namespace handover::engine {

namespace {

constexpr std::string_view manifest_prefix = "manifest-";

/// "session-12-t3" → id 12, part "t3".
std::optional<std::pair<std::uint64_t, std::string>> parse_stored_name(std::string_view name) {
  constexpr std::string_view prefix = "session-";
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc{} || end == name.data() + name.size() || *end != '-') return std::nullopt;
  return std::pair{id, std::string(end + 1, name.data() + name.size())};
}

}  // namespace

Engine::Engine(system::Loop& loop, Outside& outside, Sessions sessions, Setup setup)
    : loop_(loop),
      outside_(outside),
      sessions_(std::move(sessions)),
      setup_(std::move(setup)),
      history_(setup_.state_directory + "/history.json", setup_.config.history_entries),
      worker_(loop) {}

void Engine::start(std::vector<system::NamedFd> fds) {
  std::map<std::string, system::NamedFd> stored;
  for (auto& fd : fds) stored.insert_or_assign(fd.name, std::move(fd));

  if (auto id = system::boot_id()) boot_id_ = *id;
  if (auto loaded = history_.load(); !loaded) spdlog::error("{}", loaded.error().message);

  if (!setup_.emulated_kexec) {
    if (const auto text = system::read_file(setup_.runtime_directory + "/manifest.json")) {
      auto manifest = parse_manifest(*text);
      if (!manifest) {
        spdlog::critical("The manifest of this boot is unusable: {}", manifest.error().message);
      } else if (manifest->boot_id == boot_id_) {
        start_restarted(std::move(*manifest), std::move(stored));
        return;
      }
    }
  }

  std::vector<backend::Adopted::Part> parts;
  for (auto& [name, fd] : stored) {
    if (name.starts_with(manifest_prefix)) {
      parts.push_back({name.substr(manifest_prefix.size()), std::move(fd.fd)});
      // Read once, here; what is sealed from now on is another one.
      if (auto forgotten = system::forget_fd(name); !forgotten) {
        spdlog::warn("{}", forgotten.error().message);
      }
    }
  }
  if (!parts.empty()) {
    if (auto adopted = sessions_.main_backend().adopt_manifest(std::move(parts)); !adopted) {
      spdlog::error("{}", adopted.error().message);
    }
  }
  auto sealed = sessions_.main_backend().unseal();
  if (sealed && *sealed) {
    const auto manifest = parse_manifest(**sealed);
    if (manifest) {
      start_booted(*manifest, std::move(stored));
      return;
    }
    failure_ = Error{ErrorCode::state_lost,
                     "The manifest from the earlier kernel is unusable, so no session can be "
                     "given back: " +
                         manifest.error().message};
  } else if (!sealed) {
    failure_ = sealed.error();
  }
  forget_unknown(stored);
  if (failure_) {
    update_ = UpdateRecord{};
    update_->id = next_id_++;
    report_loss("", "", failure_->message);
    finish_update();
  }
  persist_or_log();
  tell_settled();
}

void Engine::start_restarted(Manifest manifest, std::map<std::string, system::NamedFd> fds) {
  spdlog::info("The daemon is back in state {}; {} sessions, {} clients.",
               to_string(manifest.state), manifest.sessions.size(), manifest.clients.size());
  generation_ = manifest.generation;
  next_id_ = manifest.next_id;
  extra_ = manifest.extra;
  update_ = manifest.update;
  state_ = manifest.state;
  // A call may have been sent after the manifest was written: every client counts as called.
  const bool may_be_frozen = is_blackout(state_) && state_ != State::restoring;
  const bool may_be_prepared =
      state_ == State::preparing || state_ == State::prepared || state_ == State::cancelling;
  for (auto& client : manifest.clients) {
    if (may_be_frozen) client.phase = ClientPhase::freezing;
    if (may_be_prepared) client.phase = ClientPhase::preparing;
    // A unique bus name outlives us; a direct connection ended with our earlier process, and its
    // number will soon be another's.
    if (client.bus_name.starts_with(':')) {
      connections_.insert(client.bus_name);
    } else {
      client.bus_name.clear();
    }
    clients_.emplace(client.name, std::move(client));
  }
  adopt_sessions(manifest.sessions, fds);
  forget_unknown(fds);
  end_begun_sessions();
  if (update_) {
    job_ = Job{update_->id, JobType::update, "thaw", 0, "The daemon was restarted."};
    outside_.job_added(job_->id);
    if (state_ != State::restoring) {
      failure_ = Error{ErrorCode::internal,
                       "handoverd was restarted in the middle of the update (state " +
                           std::string(to_string(state_)) + "); everything was undone."};
    }
  }
  if (state_ == State::restoring || !sessions_.incoming().empty()) await_claims();
  target_loaded_ = state_ != State::normal && state_ != State::restoring;
  post(Event::restarted);
}

void Engine::start_booted(const Manifest& manifest, std::map<std::string, system::NamedFd> fds) {
  generation_ = manifest.generation + 1;
  next_id_ = manifest.next_id;
  extra_ = manifest.extra;
  state_ = manifest.state;
  if (manifest.state == State::rebooting && manifest.update) {
    update_ = manifest.update;
  } else {
    // Somebody kexec'ed without asking us (systemctl kexec): the sessions are here all the same.
    update_ = UpdateRecord{};
    update_->id = next_id_++;
    update_->mode = "external";
    update_->timeline.ticks_per_second = system::counter_frequency();
  }
  update_->kernel_release = system::kernel_release();
  if (!setup_.emulated_kexec) {
    const auto begin = system::counter_at_kernel_start(update_->timeline.ticks_per_second);
    mark_at(Mark::kernel_started, begin);
    if (const auto init = system::init_start_usec()) {
      mark_at(Mark::init_started,
              begin + *init * update_->timeline.ticks_per_second / UINT64_C(1'000'000));
    }
  }
  mark_at(Mark::daemon_started, setup_.started_at);

  auto records = manifest.sessions;
  for (auto& record : records) record.incoming = true;
  for (const auto& client : manifest.clients) {
    auto record = client;
    record.phase = ClientPhase::restoring;
    record.bus_name.clear();
    clients_.emplace(record.name, std::move(record));
  }
  job_ = Job{update_->id, JobType::update, "restore", 96, "Waiting for clients."};
  outside_.job_added(job_->id);
  adopt_sessions(records, fds);
  forget_unknown(fds);
  mark(Mark::sessions_found);
  spdlog::info("Generation {}: {} of {} sessions came back; {} clients to restore.", generation_,
               sessions_.all().size(), records.size(), clients_.size());
  await_claims();
  post(Event::booted);
}

void Engine::adopt_sessions(const std::vector<SessionRecord>& records,
                            std::map<std::string, system::NamedFd>& fds) {
  std::map<std::uint64_t, std::vector<backend::Adopted::Part>> parts;
  std::map<std::string, system::NamedFd> unknown;
  for (auto& [name, fd] : fds) {
    const auto parsed = parse_stored_name(name);
    const bool ours =
        parsed && std::any_of(records.begin(), records.end(),
                              [&](const auto& record) { return record.id == parsed->first; });
    if (ours) {
      parts[parsed->first].push_back({parsed->second, std::move(fd.fd)});
    } else {
      unknown.emplace(name, std::move(fd));
    }
  }
  fds = std::move(unknown);
  for (const auto& record : records) {
    if (auto adopted = sessions_.adopt(record, std::move(parts[record.id])); !adopted) {
      if (record.ending) {
        // It was on its way out, and is gone: what was not retrieved may not have been reported.
        for (const auto& token : record.tokens) {
          if (!record.incoming || token.retrieved) continue;
          report_unclaimed(record.name, record.client, token.token, "was not retrieved");
        }
        continue;
      }
      report_loss(record.name, record.client,
                  "Session '" + record.name + "' is lost: " + adopted.error().message);
    }
  }
}

void Engine::end_begun_sessions() {
  std::vector<std::string> incoming;
  std::vector<std::string> outgoing;
  for (const auto& [name, held] : sessions_.all()) {
    if (held.record.ending) (held.record.incoming ? incoming : outgoing).push_back(name);
  }
  for (const auto& name : incoming) finish_session(name, "was not retrieved");
  for (const auto& name : outgoing) {
    if (auto done = sessions_.discard(name); !done) spdlog::error("{}", done.error().message);
  }
}

void Engine::await_claims() {
  claim_timer_ = loop_.after(setup_.config.claim_timeout_usec, [this] { claim_time_over(); });
}

void Engine::forget_unknown(const std::map<std::string, system::NamedFd>& fds) {
  for (const auto& [name, fd] : fds) {
    if (auto forgotten = system::forget_fd(name); !forgotten) {
      spdlog::warn("{}", forgotten.error().message);
    }
  }
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
    spdlog::info("Client '{}' has left the bus.", name);
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
      spdlog::error("{}", undone.error().message);
    }
    return persisted;
  }
  outside_.session_added(name);
  return {};
}

Result<void> Engine::preserve(const std::string& session, std::uint64_t token, int fd, bool blob,
                              const Caller& caller) {
  if (auto may = may_change_sessions(); !may) return may;
  auto held = sessions_.find(session, caller.owner);
  if (!held) return fail(held.error());
  if (auto done = sessions_.preserve(**held, token, fd, blob); !done) return done;
  if (auto persisted = persist(); !persisted) {
    if (auto undone = sessions_.unpreserve(**held, token); !undone) {
      spdlog::error("{}", undone.error().message);
    }
    return persisted;
  }
  session_touched(session, "Tokens");
  return {};
}

Result<void> Engine::unpreserve(const std::string& session, std::uint64_t token,
                                const Caller& caller) {
  if (auto may = may_change_sessions(); !may) return may;
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
    spdlog::warn("Session '{}': token {} was not retrieved and is freed.", session, token);
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
  if (auto done = sessions_.discard(session); !done) return done;
  if (state_ == State::prepared) stale_ = true;
  persist_or_log();
  outside_.session_removed(session);
  return {};
}

}  // namespace handover::engine

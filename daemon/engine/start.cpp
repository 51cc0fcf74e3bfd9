// SPDX-License-Identifier: LGPL-2.1-or-later
// What a new process of the daemon finds: an earlier one's work in this boot, an earlier kernel's,
// or nothing. And what is done while its sessions are claimed.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <set>
#include <thread>
#include <utility>

#include "core/error_name.h"
#include "core/graph.h"
#include "engine/engine.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

constexpr std::uint64_t first_unseal_usec = 20'000;
constexpr std::uint64_t longest_unseal_usec = 1'000'000;
/// How often PID 1 is asked whether the boot is over.
constexpr std::uint64_t boot_poll_usec = 5'000'000;
/// A boot that has not ended by then never will: one of its jobs hangs, and memory that nobody
/// claims is not to be held for ever.
constexpr std::uint64_t longest_boot_usec = std::uint64_t{30} * 60 * 1'000'000;

/// Of a PID 1 that does not read, no more than this is waited for before the clients' turn comes.
constexpr std::uint64_t forget_usec = 5'000'000;

/// Sessions in the order in which their clients are restored: first those of the clients that need
/// nobody, last those that belong to none.
std::vector<SessionRecord> in_wave_order(std::vector<SessionRecord> records, const Graph& graph) {
  std::map<std::string, std::size_t> rank;
  Wave wave(graph, Direction::dependencies_first);
  while (!wave.finished()) {
    const auto ready = wave.take_ready();
    for (const auto& name : ready) rank.emplace(name, rank.size());
    for (const auto& name : ready) wave.done(name);
    if (ready.empty()) break;
  }
  const auto rank_of = [&](const SessionRecord& record) {
    const auto it = rank.find(record.client);
    return it == rank.end() ? rank.size() : it->second;
  };
  std::stable_sort(records.begin(), records.end(),
                   [&](const auto& a, const auto& b) { return rank_of(a) < rank_of(b); });
  return records;
}

/// (waits) PID 1's copies first, ours behind them: with the last descriptor of an earlier kernel's
/// session the kernel frees what it holds.
void forget_all(Host& host, const std::map<std::string, NamedDescriptor>& stored,
                const std::atomic<bool>& enough) {
  std::size_t left = stored.size();
  std::optional<Error> why;
  for (const auto& [name, fd] : stored) {
    if (enough) break;
    auto forgotten = run_or_fail("forgetting a descriptor",
                                 [&host, &name = name] { return host.forget_fd(name); });
    if (forgotten) {
      --left;
      continue;
    }
    why = std::move(forgotten.error());
    // It does not read: nor will it the next ones.
    if (why->sys_errno == ETIMEDOUT) break;
  }
  if (left == 0) return;
  log::warning(left,
               " descriptors that belong to no session stay in PID 1's fd store until handoverd ",
               "starts again: ", why ? why->message : "PID 1 does not answer");
}

/// (waits) What is reached and read is with PID 1 at once: with this process the kernel's session
/// would go, and all that it names, and the module gives its own once.
Result<std::optional<std::string>> unseal_and_keep(backend::ManifestStore& store,
                                                   FdStore& fd_store) {
  const auto keep = [&] {
    auto kept = fd_store.keep_exactly(FdStore::manifest_prefix, store.stored_fds());
    if (!kept) log::warning(kept.error().message);
  };
  if (store.reach()) keep();
  auto sealed = store.unseal();
  if (sealed && *sealed) keep();
  return sealed;
}

}  // namespace

void Engine::start(std::vector<NamedDescriptor> fds) {
  for (auto& fd : fds) stored_.insert_or_assign(fd.name, std::move(fd));
  auto boot_id = host_.boot_id();
  if (!boot_id) {
    // Without it the manifest of this boot would be taken for another's. A later start may read it.
    if (setup_.failed) setup_.failed(passing(boot_id.error()));
    return;
  }
  boot_id_ = std::move(*boot_id);

  if (!setup_.emulated_kexec) {
    const auto text = host_.read_manifest();
    if (!text && text.error().sys_errno != ENOENT) {
      // Without it every session would be taken for nobody's. A later start may read it.
      if (setup_.failed) setup_.failed(passing(text.error()));
      return;
    }
    if (text) {
      auto manifest = parse_manifest(*text);
      if (!manifest) {
        log::critical("The manifest of this boot is unusable: ", manifest.error().message);
        // If no earlier kernel has left one, either, what there was is lost.
        manifest_problem_ = Error{ErrorCode::state_lost,
                                  "The manifest of this boot is unusable, so no session is known "
                                  "any more: " +
                                      manifest.error().message,
                                  0, Nature::damaged};
      } else if (manifest->boot_id == boot_id_) {
        return start_restarted(std::move(*manifest));
      }
    }
  }

  std::vector<backend::Adopted::Part> parts;
  for (auto it = stored_.begin(); it != stored_.end();) {
    const auto parsed = FdStore::parse(it->first);
    if (!parsed || parsed->session) {
      ++it;
      continue;
    }
    // In the fd store it stays until ours is written.
    sessions_.fd_store().came_back(parsed->prefix, parsed->part, it->second.fd.get());
    parts.push_back({parsed->part, std::move(it->second.fd)});
    it = stored_.erase(it);
  }
  if (!parts.empty()) {
    if (auto adopted = sessions_.keepers().manifest->adopt(parts); !adopted) {
      log::error(adopted.error().message);
    }
  }
  // One who keeps the device open for a moment must not be waited for once a session.
  const auto main = sessions_.keepers().by.find(sessions_.main_keeper());
  if (main != sessions_.keepers().by.end()) device_ = main->second->hold();
  unseal();
}

// ---- an earlier kernel's manifest

void Engine::unseal() {
  using Sealed = Result<std::optional<std::string>>;
  host_.run(
      manifest_queue,
      [this, alive = alive_, store = sessions_.keepers().manifest]() -> std::function<void()> {
        auto sealed =
            std::make_shared<Sealed>(run_or_fail("reading the earlier kernel's manifest", [&] {
              return unseal_and_keep(*store, sessions_.fd_store());
            }));
        return [this, alive, sealed] {
          if (*alive) unsealed(*sealed);
        };
      });
}

void Engine::unsealed(const Result<std::optional<std::string>>& sealed) {
  if (!sealed && sealed.error().nature == Nature::passing &&
      unseal_waited_usec_ < setup_.config.claim_timeout_usec) {
    if (unseal_pause_usec_ == 0) {
      log::event(log::Id::manifest_unreachable, log::Level::warning,
                 {{log::Field::code, std::string(to_string(sealed.error().code))}},
                 "The earlier kernel's manifest cannot be reached now, and is asked for again: ",
                 sealed.error().message);
      host_.status("Waiting for the earlier kernel's manifest: " + sealed.error().message);
    }
    unseal_pause_usec_ = std::clamp(2 * unseal_pause_usec_, first_unseal_usec, longest_unseal_usec);
    unseal_waited_usec_ += unseal_pause_usec_;
    unseal_alarm_ = host_.after(unseal_pause_usec_, [this] { unseal(); });
    return;
  }
  if (!sealed) return start_afresh(sealed.error());
  if (!*sealed) return start_afresh(manifest_problem_);
  const auto manifest = parse_manifest(**sealed);
  if (manifest) return start_booted(*manifest);
  start_afresh(Error{ErrorCode::state_lost,
                     "The manifest from the earlier kernel is unusable, so no session can be "
                     "given back: " +
                         manifest.error().message,
                     0, Nature::damaged});
}

/// The file is bad, or gone, and the manifest has what the update was prepared with. Workloads that
/// wait for their memory must not wait for an editor.
void Engine::borrow_config(const Manifest& manifest, bool may_be_missing) {
  if (!may_be_missing && !setup_.config_missing.empty() && !manifest.config.empty()) {
    setup_.config_problem = Error{ErrorCode::io, setup_.config_missing + " is not there", ENOENT};
  }
  if (!setup_.config_problem) return;
  setup_.config = Config{};
  std::string used = "The defaults are used";
  if (!manifest.config.empty()) {
    if (auto carried = parse_config(manifest.config)) {
      setup_.config = std::move(*carried);
      used = "The one that the manifest carries is used";
    } else {
      used = "Nor can the one that the manifest carries (" + carried.error().message +
             "). The defaults are used";
    }
  }
  setup_.config_text = manifest.config;
  ledger_.set_limits(limits_of(setup_.config, host_.memory_bytes(), setup_.most_descriptors));
  log::event(log::Id::configuration_unusable, log::Level::critical,
             {{log::Field::code, std::string(to_string(setup_.config_problem->code))}},
             "The configuration cannot be used (", setup_.config_problem->message, "). ", used,
             " until the file is right.");
  if (setup_.config_borrowed) setup_.config_borrowed();
}

void Engine::start_afresh(std::optional<Error> lost) {
  device_.reset();
  if (setup_.config_problem && !lost) {
    // Nobody waits for us: as any program with a bad configuration.
    if (setup_.failed) setup_.failed(*setup_.config_problem);
    return;
  }
  const bool damaged = lost && lost->nature != Nature::passing;
  // What the kernel may give yet is left where it is: a later process may get it.
  if (lost && !damaged) return begin_afresh(lost);
  forget_unknown([this, lost = std::move(lost)] { begin_afresh(lost); });
}

void Engine::begin_afresh(const std::optional<Error>& lost) {
  if (auto begun = journal_.begin(); !begun) {
    log::error("The manifest could not be written: ", begun.error().message);
  }
  doors_open();
  if (setup_.config_problem && setup_.config_borrowed) setup_.config_borrowed();
  if (lost) {
    ++counters_.losses;
    log::event(log::Id::session_lost, log::Level::error, {}, lost->message);
    outside_.state_lost("", "", lost->message);
    stop_unrecorded_watchdog();
  }
  records_.look_for_lost(boot_id_, setup_.emulated_kexec,
                         [this, lost](const std::optional<PendingUpdate>& pending) {
                           if (pending) return report_lost_update(*pending, lost);
                           if (lost) report_lost_manifest(*lost);
                         });
  tell_settled();
}

/// The process before us, or the one before the kexec, did not come to it.
void Engine::take_over_unwritten(const Manifest& manifest) {
  auto entries = manifest.unwritten.empty() ? Result<std::vector<HistoryEntry>>()
                                            : parse_history(manifest.unwritten);
  if (!entries) {
    log::error("Ends of updates that were not in the history yet cannot be read: ",
               entries.error().message);
  } else {
    for (auto& entry : *entries) {
      entry.written_late = true;
      unwritten_.push_back(entry);
      records_.add(std::move(entry), [this, alive = alive_] {
        if (*alive) wake();
      });
    }
  }
  for (const auto& loss : manifest.late_losses) records_.add_loss(manifest.generation, loss);
  // Those of another generation would be taken for this one's.
  if (manifest.generation == generation_) late_losses_ = manifest.late_losses;
}

/// With the record of that update each session is named.
void Engine::report_lost_update(const PendingUpdate& pending, const std::optional<Error>& why) {
  auto entry = failed_entry(pending, why ? why->message : "");
  for (std::size_t i = 0; i < pending.sessions.size(); ++i) {
    const auto& [session, client] = pending.sessions[i];
    ++counters_.losses;
    log::event(log::Id::session_lost, log::Level::error,
               {{log::Field::update, entry.id},
                {log::Field::session, session},
                {log::Field::client, client},
                {log::Field::unit, unit_of(client)}},
               entry.losses[i]);
    outside_.state_lost(session, client, entry.losses[i]);
  }
  records_.pending_is_over();
  // Booted by kexec, that kernel has come up: what lost the state came later. Where nobody can
  // tell, it is not to blame.
  const auto by_kexec = host_.booted_by_kexec();
  if (by_kexec.value_or(false)) stop_unrecorded_watchdog();
  const bool came_up = !by_kexec || (*by_kexec && host_.kernel_release() == pending.to_release);
  if (!pending.image.empty() && !came_up) {
    KernelRecord lost;
    lost.kernel = {pending.to_release, pending.image};
    lost.state = KernelState::bad;
    lost.reason = entry.reason;
    lost.when = host_.wall_clock();
    lost.update = entry.id;
    judge_kernel(std::move(lost));
  }
  record_failed(std::move(entry));
}

/// Without it there is only this to say.
void Engine::report_lost_manifest(const Error& why) {
  HistoryEntry entry;
  entry.id = next_id_++;
  entry.outcome = Outcome::failed;
  entry.reason = why.message;
  entry.error = dbus_name(why.code);
  entry.losses = {why.message};
  entry.to_release = host_.kernel_release();
  record_failed(std::move(entry));
}

void Engine::record_failed(HistoryEntry entry) {
  entry.generation = generation_;
  entry.finished_at = host_.wall_clock();
  log::event(
      log::Id::update_finished, log::Level::error,
      {{log::Field::update, entry.id}, {log::Field::code, std::string(to_string(entry.outcome))}},
      "Update ", entry.id, " is over: failed: ", entry.reason);
  tell_hooks_of_loss(entry);
  const auto outcome = entry.outcome;
  const auto reason = entry.reason;
  unwritten_.push_back(entry);
  journal_.note_head();
  wake();
  records_.add(std::move(entry), [this, alive = alive_, outcome, reason] {
    // In the middle of another update it would be taken for that one's end.
    if (!*alive) return;
    if (!update_.record()) outside_.update_finished(outcome, reason, generation_);
    wake();
  });
}

/// The update's clients and sessions are here; those that were not frozen are told so.
void Engine::start_booted(const Manifest& manifest) {
  generation_ = manifest.generation + 1;
  next_id_ = manifest.next_id;
  extra_ = manifest.extra;
  take_over_unwritten(manifest);
  watchdog_ = manifest.watchdog;
  state_ = manifest.state;
  const bool announced = manifest.state == State::rebooting && manifest.update;
  if (announced) {
    update_.set(manifest.update);
  } else {
    // Somebody kexec'ed without asking us (systemctl kexec): the sessions are here all the same.
    UpdateRecord record;
    record.id = next_id_++;
    record.mode = Mode::external;
    record.timeline.ticks_per_second = host_.ticks_per_second();
    update_.set(std::move(record));
  }
  auto& record = *update_.edit();
  log::set_update(record.id);
  borrow_config(manifest, /*may_be_missing=*/false);
  // PID 1 may have executed another one than was looked at.
  if (record.kernel_release != host_.kernel_release()) record.image.clear();
  record.kernel_release = host_.kernel_release();
  if (!setup_.emulated_kexec) host_.mark_boot(record.timeline);
  record.timeline.marks[Mark::daemon_started] = setup_.started_at;

  std::map<std::string, std::string> left_out;
  for (const auto& left : record.left_out) left_out.emplace(left.client, left.reason);
  for (const auto& client : manifest.clients) {
    auto restoring = client;
    restoring.phase = ClientPhase::restoring;
    restoring.bus_name.clear();
    restoring.quiesced = announced && !left_out.contains(client.name);
    std::vector<Charge> charges;
    charges.push_back(ledger_.take_anyway(client.owner, Resource::clients, 1));
    charges.push_back(ledger_.take_anyway(client.owner, Resource::needs, client.needs.size()));
    if (auto put = clients_.put(std::move(restoring), std::move(charges)); !put) {
      log::error(put.error().message);
    }
  }
  update_.job = Job{record.id, JobType::update, JobPhase::restore, 96, "Waiting for clients."};
  outside_.job_added(record.id);

  auto records = manifest.sessions;
  for (auto& session : records) {
    session.incoming = true;
    session.degraded = false;
    session.opened = false;  // the owner's descriptor went with the earlier kernel
    session.luo_claimed = false;
  }
  const auto count = records.size();
  log::event(log::Id::generation_restored, log::Level::info, {{log::Field::count, count}},
             "Generation ", generation_, ": ", count, " sessions came along; ",
             clients_.all().size(), " clients to restore.");
  expect(std::move(records));
  mark(Mark::sessions_found);
  if (announced) discard_left_out(left_out);
  // Not written down as the earlier kernel left it: a daemon that dies now must not come back to
  // undo what has led here.
  set_state(State::restoring, Event::booted);
  if (auto begun = journal_.begin(); !begun) log::error(begun.error().message);
  stop_watchdog();
  forget_unknown([this] {
    doors_open();
    await_claims();
    post(Event::booted);
    end_turn();  // before anybody can ask
    start_adoption(/*open_tables=*/false);
  });
}

/// Memory that somebody wrote into until the kexec is no state to go on from, unless its owner says
/// that it is.
void Engine::discard_left_out(const std::map<std::string, std::string>& left_out) {
  for (const auto& [name, reason] : left_out) {
    auto* const client = clients_.find(name);
    if (client == nullptr) continue;
    const auto limits = setup_.config.clients.find(name);
    if (limits != setup_.config.clients.end() &&
        limits->second.if_not_frozen == IfNotFrozen::restore) {
      continue;
    }
    set_phase(*client, ClientPhase::given_up);
    journal_.note_client(name);
    const auto sessions = sessions_.of_client(name);
    const auto why =
        std::string("' is discarded: client '").append(name).append("' was not frozen (") + reason;
    for (const auto& session : sessions) {
      report_loss(session, name, std::string("Session '").append(session).append(why).append(")"));
    }
    end_discarded(name);
  }
}

/// The loss of its sessions is told: they end as soon as they are here.
void Engine::end_discarded(const std::string& client) {
  for (const auto& session : sessions_.of_client(client)) {
    if (const auto held = sessions_.find(session, Owner{})) (*held)->to_end.emplace("");
  }
}

// ---- an earlier process of this boot

void Engine::start_restarted(Manifest manifest) {
  update_.set(manifest.update);
  if (update_.record()) log::set_update(update_.record()->id);
  // In peace it was taken away by somebody who wants the defaults.
  borrow_config(manifest, manifest.state == State::normal);
  log::event(log::Id::daemon_restarted, log::Level::info,
             {{log::Field::state, std::string(to_string(manifest.state))}},
             "The daemon is back in state ", to_string(manifest.state), "; ",
             manifest.sessions.size(), " sessions, ", manifest.clients.size(), " clients.");
  generation_ = manifest.generation;
  next_id_ = manifest.next_id;
  extra_ = manifest.extra;
  take_over_unwritten(manifest);
  state_ = manifest.state;
  const bool any_incoming =
      std::any_of(manifest.sessions.begin(), manifest.sessions.end(),
                  [](const SessionRecord& record) { return record.incoming; });
  // No update leaves a kernel with them: the one before us died as soon as it had found them.
  if (state_ == State::rebooting && any_incoming) state_ = State::restoring;
  // A call may have been sent after the manifest was written: every client counts as called.
  const bool may_be_frozen = is_blackout(state_) && state_ != State::restoring;
  const bool may_be_prepared =
      state_ == State::preparing || state_ == State::prepared || state_ == State::cancelling;
  for (auto& client : manifest.clients) {
    if (may_be_frozen) client.phase = ClientPhase::freezing;
    // After a rehearsal one may owe its Thaw still.
    if (may_be_prepared && client.phase != ClientPhase::thawing) {
      client.phase = ClientPhase::preparing;
    }
    // Thaw may be owed: it is harmless to a client that is not frozen.
    if (state_ == State::normal && client.phase != ClientPhase::thawing) {
      client.phase = ClientPhase::idle;
    }
    // A unique bus name outlives us; a direct connection ended with our earlier process, and its
    // number will soon be another's.
    if (client.bus_name.starts_with(':')) {
      clients_.connect(client.bus_name);
    } else {
      client.bus_name.clear();
      if (state_ == State::normal) client.phase = ClientPhase::idle;
    }
    std::vector<Charge> charges;
    charges.push_back(ledger_.take_anyway(client.owner, Resource::clients, 1));
    charges.push_back(ledger_.take_anyway(client.owner, Resource::needs, client.needs.size()));
    const bool owes =
        (state_ == State::normal || may_be_prepared) && client.phase == ClientPhase::thawing;
    const auto name = client.name;
    if (auto put = clients_.put(std::move(client), std::move(charges)); !put) {
      log::error(put.error().message);
    }
    if (owes) owe(name, ClientCall::thaw, 0);
  }
  trial_ = std::move(manifest.trial);
  watchdog_ = std::move(manifest.watchdog);
  lost_ = std::move(manifest.lost);
  if (sessions_.keepers().rest) sessions_.keepers().rest->adopt_resting(manifest.resting);
  if (update_.record()) {
    update_.job =
        Job{update_.record()->id, JobType::update, JobPhase::thaw, 0, "The daemon was restarted."};
    outside_.job_added(update_.job->id);
    if (state_ != State::restoring) {
      update_.fail(Error{ErrorCode::internal,
                         "handoverd was restarted in the middle of the update (state " +
                             std::string(to_string(state_)) + "); everything was undone.",
                         0});
    }
  }
  update_.target_loaded = state_ != State::normal && state_ != State::restoring;
  expect(std::move(manifest.sessions));
  if (state_ == State::restoring && update_.record()) {
    for (const auto& left : update_.record()->left_out) {
      const auto* client = clients_.find(left.client);
      if (client != nullptr && client->phase == ClientPhase::given_up) end_discarded(left.client);
    }
  }
  if (auto begun = journal_.begin(); !begun) log::error(begun.error().message);
  stop_watchdog();
  forget_unknown([this, any_incoming] { go_on_restarted(any_incoming); });
}

void Engine::go_on_restarted(bool any_incoming) {
  doors_open();
  if (state_ == State::restoring || any_incoming) await_claims();
  // The earlier process may not have come to it, while /var was not mounted.
  if (!update_.record() && generation_ > 0) records_.remove_pending();
  if (!update_.record() && generation_ == 0) {
    records_.look_for_lost(boot_id_, setup_.emulated_kexec,
                           [this](const std::optional<PendingUpdate>& pending) {
                             if (pending) report_lost_update(*pending, std::nullopt);
                           });
  }
  post(Event::restarted);
  end_turn();  // before anybody can ask
  if (trial_) {
    // The earlier process did not come to its end.
    if (!setup_.config.health.command.empty()) {
      records_.set_health(trial_->generation, health_running, "");
    }
    run_trial();
  }
  start_adoption(/*open_tables=*/true);
}

// ---- both

void Engine::expect(std::vector<SessionRecord> records) {
  std::map<std::uint64_t, std::vector<backend::Adopted::Part>> parts;
  std::set<std::uint64_t> ids;
  for (const auto& record : records) ids.insert(record.id);
  for (auto it = stored_.begin(); it != stored_.end();) {
    const auto parsed = FdStore::parse(it->first);
    // What was stored just before the daemon died is forgotten in a moment: not another's by then.
    if (parsed && parsed->session) next_id_ = std::max(next_id_, *parsed->session + 1);
    if (!parsed || !parsed->session || !ids.contains(*parsed->session)) {
      ++it;
      continue;
    }
    parts[*parsed->session].push_back({parsed->part, std::move(it->second.fd)});
    it = stored_.erase(it);
  }
  sessions_.expect(in_wave_order(std::move(records), clients_.graph()), std::move(parts));
}

/// Not before the manifest of this process is written: what is adopted belongs to this kernel.
void Engine::start_adoption(bool open_tables) {
  const auto tables = sessions_.keepers().tables;
  if (!open_tables || !tables) {
    sessions_.adopt();
    device_.reset();
    return;
  }
  // An earlier process may have died between sealing and the kexec: before that is undone, nothing
  // of the module's can change.
  host_.run(target_queue, [this, alive = alive_, tables]() -> std::function<void()> {
    const auto opened = run_or_fail("opening the module's tables", [&] { return tables->open(); });
    return [this, alive, opened] {
      if (!*alive) return;
      if (!opened) log::error(opened.error().message);
      sessions_.adopt();
      device_.reset();
    };
  });
}

/// Not before a manifest was read: what it names must not go. And not beside what comes next: PID 1
/// keeps a file once, and its owner may preserve it again as soon as the doors are open.
void Engine::forget_unknown(std::function<void()> then) {
  if (stored_.empty()) return then();
  auto stored =
      std::make_shared<std::map<std::string, NamedDescriptor>>(std::exchange(stored_, {}));
  auto enough = std::make_shared<std::atomic<bool>>(false);
  forget_alarm_ = host_.after(forget_usec, [enough] { *enough = true; });
  host_.run(
      manifest_queue,
      [this, alive = alive_, stored, enough, then = std::move(then)]() -> std::function<void()> {
        forget_all(host_, *stored, *enough);
        return [this, alive, then] {
          if (!*alive) return;
          forget_alarm_.reset();
          then();
        };
      });
}

void Engine::doors_open() {
  if (auto ready = std::exchange(setup_.ready, nullptr)) ready();
  status();
}

// ---- claims

/// The claim time begins when the boot is over: what is started late could not come before.
void Engine::await_claims() {
  outside_.boot_is_over([this, alive = alive_](bool over) {
    if (!*alive) return;
    if (!over && boot_waited_usec_ < longest_boot_usec) {
      boot_waited_usec_ += boot_poll_usec;
      boot_alarm_ = host_.after(boot_poll_usec, [this] { await_claims(); });
      return;
    }
    if (!over) log::warning("The boot is not over yet; the claim time begins all the same.");
    claim_alarm_ = host_.after(setup_.config.claim_timeout_usec, [this] { claim_time_over(); });
  });
}

void Engine::claim_time_over() {
  const bool keep = setup_.config.unclaimed == Unclaimed::keep;
  const auto restoring = clients_.in({ClientPhase::restoring});
  std::set<std::string> held_up;  // by us
  for (const auto& name : restoring) {
    if (!can_restore(*clients_.find(name))) held_up.insert(name);
  }
  claims_over_ = true;
  sessions_.give_up_unreached();
  for (const auto& name : restoring) {
    auto& client = *clients_.find(name);
    // Who is here and has not had its turn, since it needs somebody who did not come, gets it now;
    // who is being called has its own time limit.
    const bool has_failed = pass_ && pass_->waits_for(name) && !pass_->is_called(name);
    if (clients_.connected(client) && held_up.contains(name)) {
      take_turn(name);  // or when the loss of what was out of reach is told
      continue;
    }
    if (clients_.connected(client) && !has_failed) continue;
    if (pass_ && pass_->is_called(name)) continue;
    const auto failure = restore_failures_.find(name);
    give_up(client, "it did not come back and restore within the claim time" +
                        (failure == restore_failures_.end()
                             ? std::string(".")
                             : "; the last time it said: " + failure->second));
    if (pass_) pass_->done(name);
  }
  // Also those of clients that are no longer registered.
  for (const auto& name : sessions_.incoming()) {
    const auto* client = client_of(name);
    if (client != nullptr && client->phase == ClientPhase::restoring) continue;
    if (!keep) {
      // One that is on its way ends as soon as it is here.
      finish_session(name, "was not claimed within the claim time");
      continue;
    }
    if (!sessions_.find(name)->kernel) continue;  // given up above, or on its way
    const auto& record = sessions_.find(name)->record;
    log::event(log::Id::session_unclaimed, log::Level::warning,
               {{log::Field::session, name},
                {log::Field::client, record.client},
                {log::Field::unit, unit_of(record)}},
               "Session '", name,
               "' was not claimed within the claim time, and is kept; 'handoverctl session "
               "finish ",
               name, "' frees it.");
  }
  pass_moved_ = true;
  wake();
  if (pass_) await_claims();
}

void Engine::tell_settled() {
  if (auto settled = std::exchange(setup_.settled, nullptr)) {
    settled();
    // Nobody waits for it any more; whoever asks next finds it read.
    records_.load();
  }
  restore_rest();
}

/// Every client runs again: the processors are free for memory that nobody has touched yet.
void Engine::restore_rest() {
  const auto rest = sessions_.keepers().rest;
  if (!rest) return;
  const auto configured = static_cast<unsigned>(setup_.config.restore_threads);
  const auto threads = configured != 0 ? configured : std::thread::hardware_concurrency();
  host_.run(target_queue, [this, alive = alive_, rest, threads]() -> std::function<void()> {
    const bool any = !rest->resting().empty();
    if (auto done = rest->restore_rest(threads); !done) log::error(done.error().message);
    return [this, alive, any] {
      if (!*alive || !any) return;
      journal_.note_head();
      wake();
    };
  });
}

}  // namespace handover::engine

// SPDX-License-Identifier: LGPL-2.1-or-later
// What a new process of the daemon finds: an earlier one's work in this boot, an earlier kernel's,
// or nothing.
#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/engine.h"
#include "system/boot.h"
#include "system/files.h"
#include "system/log.h"

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

void Engine::start(std::vector<system::NamedFd> fds) {
  std::map<std::string, system::NamedFd> stored;
  for (auto& fd : fds) stored.insert_or_assign(fd.name, std::move(fd));

  if (auto id = system::boot_id()) boot_id_ = *id;
  // An earlier process may have died between sealing and the kexec.
  if (auto opened = sessions_.main_backend().open_tables(); !opened) {
    log::error(opened.error().message);
  }
  if (auto loaded = history_.load(); !loaded) log::error(loaded.error().message);

  if (!setup_.emulated_kexec) {
    if (const auto text = system::read_file(setup_.runtime_directory + "/manifest.json")) {
      auto manifest = parse_manifest(*text);
      if (!manifest) {
        log::critical("The manifest of this boot is unusable: ", manifest.error().message);
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
        log::warning(forgotten.error().message);
      }
    }
  }
  if (!parts.empty()) {
    if (auto adopted = sessions_.main_backend().adopt_manifest(std::move(parts)); !adopted) {
      log::error(adopted.error().message);
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
  look_for_lost_ = true;
  if (failure_) lost_why_ = failure_->message;
  // With the record of that update each session is named; without it there is only this to say.
  if (failure_ && !lost_update()) {
    update_ = UpdateRecord{};
    update_->id = next_id_++;
    report_loss("", "", failure_->message);
    finish_update();
  }
  failure_.reset();
  persist_or_log();
  tell_settled();
  look_for_lost_update(state_tries);
}

void Engine::start_restarted(Manifest manifest, std::map<std::string, system::NamedFd> fds) {
  log::info("The daemon is back in state ", to_string(manifest.state), "; ",
            manifest.sessions.size(), " sessions, ", manifest.clients.size(), " clients.");
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
  sessions_.main_backend().adopt_resting(manifest.resting);
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
  // The earlier process may not have come to it, while /var was not mounted.
  if (!update_ && generation_ > 0) remove_pending(state_tries);
  if (!update_ && generation_ == 0) {
    look_for_lost_ = true;
    look_for_lost_update(state_tries);
  }
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
  for (auto& record : records) {
    record.incoming = true;
    record.opened = false;  // the owner's descriptor went with the earlier kernel
  }
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
  log::info("Generation ", generation_, ": ", sessions_.all().size(), " of ", records.size(),
            " sessions came back; ", clients_.size(), " clients to restore.");
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
    const auto adopted = sessions_.adopt(record, std::move(parts[record.id]));
    if (adopted) {
      for (const auto& loss : *adopted) report_loss(record.name, record.client, loss);
    } else {
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
    if (auto done = sessions_.discard(name); !done) log::error(done.error().message);
  }
}

void Engine::await_claims() {
  claim_timer_ = loop_.after(setup_.config.claim_timeout_usec, [this] { claim_time_over(); });
}

std::optional<PendingUpdate> Engine::lost_update() {
  const auto text = system::read_file(pending_path());
  if (!text) {
    if (text.error().sys_errno != ENOENT) log::warning(text.error().message);
    return std::nullopt;
  }
  auto pending = parse_pending(*text);
  if (!pending) {
    log::warning(pending_path(), " is ignored: ", pending.error().message);
    return std::nullopt;
  }
  const bool same_kernel = pending->boot_id == boot_id_ && !setup_.emulated_kexec;
  if (!lost_its_sessions(*pending, same_kernel, history().entries())) {
    log::info("Update ", pending->id, " lost nothing that is not told of: ", pending_path(),
              " goes.");
    remove_pending(state_tries);
    return std::nullopt;
  }
  return std::move(*pending);
}

void Engine::look_for_lost_update(unsigned tries) {
  if (!state_is_mounted() && tries > 0) {
    pending_timer_ =
        loop_.after(state_retry_usec, [this, tries] { look_for_lost_update(tries - 1); });
    return;
  }
  look_for_lost_ = false;
  if (const auto pending = lost_update()) report_lost_update(*pending);
}

void Engine::report_lost_update(const PendingUpdate& pending) {
  auto entry = failed_entry(pending, lost_why_);
  entry.generation = generation_;
  entry.finished_at = system::now_rfc3339();
  log::error("Update ", entry.id, " is over: failed: ", entry.reason);
  for (std::size_t i = 0; i < pending.sessions.size(); ++i) {
    log::error(entry.losses[i]);
    outside_.state_lost(pending.sessions[i].name, pending.sessions[i].client, entry.losses[i]);
  }
  history_.add(entry);
  pending_over_ = true;
  write_history(state_tries);
  // In the middle of another update it would be taken for that one's end.
  if (!update_) outside_.update_finished(entry.outcome, entry.reason, generation_);
}

void Engine::forget_unknown(const std::map<std::string, system::NamedFd>& fds) {
  for (const auto& [name, fd] : fds) {
    if (auto forgotten = system::forget_fd(name); !forgotten) {
      log::warning(forgotten.error().message);
    }
  }
}

}  // namespace handover::engine

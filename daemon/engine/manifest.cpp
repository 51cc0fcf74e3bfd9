// SPDX-License-Identifier: LGPL-2.1-or-later
// What the engine knows, as a manifest; and the two places where it is kept. Beside it, the record
// of an update that leaves this kernel.
#include "core/manifest.h"

#include <filesystem>
#include <system_error>

#include "engine/engine.h"
#include "system/boot.h"
#include "system/files.h"
#include "system/log.h"

namespace handover::engine {

Manifest Engine::manifest() const {
  Manifest manifest;
  manifest.state = state_;
  manifest.generation = generation_;
  manifest.boot_id = boot_id_;
  manifest.next_id = next_id_;
  manifest.sessions = sessions_.records();
  for (const auto& [name, client] : clients_) manifest.clients.push_back(client);
  manifest.update = update_;
  manifest.resting = sessions_.resting();
  manifest.extra = extra_;
  return manifest;
}

/// Into /run for our own death, and into preserved memory for a kexec that nobody announced.
Result<void> Engine::persist() {
  const auto text = serialize(manifest());
  if (auto written = system::replace_file(setup_.runtime_directory + "/manifest.json", text,
                                          /*durable=*/false);
      !written) {
    return written;
  }
  return sessions_.main_backend().seal(text);
}

void Engine::persist_or_log() {
  if (auto done = persist(); !done) {
    log::error("The manifest could not be written: ", done.error().message);
  }
}

std::string Engine::pending_path() const { return setup_.state_directory + "/pending.json"; }

bool Engine::state_is_mounted() const {
  std::error_code error;
  return std::filesystem::is_directory(setup_.state_directory, error);
}

void Engine::write_pending() {
  // What an earlier kernel left there is told of before its place is taken.
  if (look_for_lost_) look_for_lost_update(0);
  pending_timer_.cancel();
  pending_over_ = false;
  PendingUpdate pending;
  pending.id = update_->id;
  pending.mode = update_->mode;
  pending.from_release = update_->from_release;
  pending.to_release = update_->kernel_release;
  pending.boot_id = boot_id_;
  pending.timeline = update_->timeline;
  for (const auto& [name, held] : sessions_.all()) {
    if (!held.record.ending) pending.sessions.push_back({name, held.record.client});
  }
  auto written = system::replace_file(pending_path(), serialize(pending), /*durable=*/true);
  if (!written) {
    log::warning("If the kexec ends in a cold boot, nothing will tell of it: ",
                 written.error().message);
  }
}

void Engine::remove_pending(unsigned tries) {
  const auto removed = system::remove_file(pending_path());
  if (removed || (removed.error().sys_errno == ENOENT && state_is_mounted())) return;
  if (tries == 0) return log::warning(removed.error().message);
  pending_timer_ = loop_.after(state_retry_usec, [this, tries] { remove_pending(tries - 1); });
}

void Engine::mark_at(Mark mark, Ticks ticks) {
  if (update_) update_->timeline.marks[mark] = ticks != 0 ? ticks : system::counter_now();
}

}  // namespace handover::engine

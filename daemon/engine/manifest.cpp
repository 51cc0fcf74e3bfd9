// SPDX-License-Identifier: LGPL-2.1-or-later
// What the engine knows, as a manifest; and the two places where it is kept.
#include "core/manifest.h"

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

void Engine::mark_at(Mark mark, Ticks ticks) {
  if (update_) update_->timeline.marks[mark] = ticks != 0 ? ticks : system::counter_now();
}

}  // namespace handover::engine

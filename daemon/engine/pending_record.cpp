// SPDX-License-Identifier: LGPL-2.1-or-later
// What a boot that brings no manifest is to find on disk of the update that was to leave this
// kernel.
#include <utility>

#include "engine/engine.h"

namespace handover::engine {

/// `image`: of the target, if it is to blame when the state is lost from here on.
PendingUpdate Engine::pending_record(std::string image) const {
  PendingUpdate pending;
  const auto& record = *update_.record();
  pending.id = record.id;
  pending.mode = record.mode;
  pending.from_release = record.from_release;
  pending.to_release = record.kernel_release;
  pending.image = std::move(image);
  pending.boot_id = boot_id_;
  pending.timeline = record.timeline;
  for (const auto& [name, held] : sessions_.all()) {
    if (!held.record.ending) pending.sessions.push_back({name, held.record.client});
  }
  return pending;
}

/// The target is about to be booted: what loses the state from here on is its doing. In the
/// blackout, beside the sync, and for no longer than that: on a disk that takes its time nothing is
/// blamed.
void Engine::blame_target(std::function<void()> then) {
  const auto& image = update_.record()->image;
  if (image.empty()) return then();
  const auto once = std::make_shared<std::function<void()>>(std::move(then));
  const auto over = [once] {
    if (const auto go_on = std::exchange(*once, nullptr)) go_on();
  };
  blame_alarm_ = host_.after(longest_blackout_sync(), over);
  records_.write_pending(pending_record(image), [this, alive = alive_, over] {
    if (!*alive) return;
    blame_alarm_.reset();
    over();
  });
}

}  // namespace handover::engine

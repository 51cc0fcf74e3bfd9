// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/slot_manifest.h"

#include <utility>

namespace handover::backend {

Result<void> SlotManifest::replace(std::string_view base) {
  if (!slots_ || !slots_->has_ample_room(base)) {
    auto done = replace_in_larger_memory(base);
    // Sealed tables, for one, let nothing new in. Then less room must do.
    if (!done && !(slots_ && slots_->replace(base))) return done;
  } else if (auto done = slots_->replace(base); !done) {
    return done;
  }
  // What was read before is older than this. If the kernel does not let it go, it goes with us.
  (void)release();
  return {};
}

Result<void> SlotManifest::append(std::string_view lines) {
  if (!slots_) return fail(ErrorCode::limit_exceeded, "there is no manifest to add to yet");
  return slots_->append(lines);
}

std::size_t SlotManifest::room() const { return slots_ ? slots_->room() : 0; }

Result<void> SlotManifest::replace_in_larger_memory(std::string_view base) {
  auto larger = Slots::make("handoverd-manifest", base);
  if (!larger) return fail(larger.error());
  if (auto kept = keep(larger->fd()); !kept) return kept;
  slots_ = std::move(*larger);
  return {};
}

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
// A manifest in slots (slots.h). The keepers differ in how they preserve its memfd.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "backend/manifest_store.h"
#include "backend/slots.h"
#include "core/names.h"

namespace handover::backend {

class SlotManifest : public ManifestStore {
 public:
  Result<void> replace(std::string_view base) override;
  Result<void> append(std::string_view lines) override;
  [[nodiscard]] std::size_t room() const override;

  /// The kernel's session that the manifest is in.
  static std::string own_session() { return std::string(manifest_session_name); }

 protected:
  /// Preserves the memfd `memory`, which has the newest text, in place of the one before it. The
  /// caller owns it and keeps it open.
  virtual Result<void> keep(int memory) = 0;
  /// The memfd that was kept last; -1 if there is none.
  [[nodiscard]] int memory() const { return slots_ ? slots_->fd() : -1; }

 private:
  Result<void> replace_in_larger_memory(std::string_view base);

  std::optional<Slots> slots_;
};

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
// The emulated backend's manifest: a memfd that remembers which process wrote it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/slot_manifest.h"

namespace handover::backend {

class EmulatedManifest final : public SlotManifest {
 public:
  Result<void> replace(std::string_view base) override;
  /// Returns only a text that this process wrote before its re-exec. A daemon that was restarted
  /// after a crash is another process, and has no "earlier kernel".
  Result<std::optional<std::string>> unseal() override;
  Result<void> release() override;
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const override;
  Result<void> adopt(std::vector<Adopted::Part>& parts) override;

 private:
  /// Nothing to do: the re-exec passes stored_fds() on.
  Result<void> keep(int /*memory*/) override { return {}; }

  UniqueFd came_back_;  ///< of the earlier process, until release()
  bool read_ = false;   ///< came_back_ is
};

}  // namespace handover::backend

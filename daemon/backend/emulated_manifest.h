// SPDX-License-Identifier: LGPL-2.1-or-later
// The emulated backend's manifest: a memfd that remembers which process wrote it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace handover::backend {

class EmulatedManifest {
 public:
  Result<void> seal(std::string_view text);
  /// The text that this process wrote before its re-exec: an execve() keeps the process, a crash
  /// and restart does not, and then the text is no message from an "earlier kernel".
  Result<std::optional<std::string>> unseal();
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const;
  Result<void> adopt(std::vector<Adopted::Part> parts);

 private:
  UniqueFd memory_;
  bool adopted_ = false;
};

}  // namespace handover::backend

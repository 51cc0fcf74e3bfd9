// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's manifest in memory that survives a kexec.
//
// A manifest is a base text, followed by lines that describe changes. A kexec can come at any
// instant, without a word to us: the next kernel finds the text as it was before or after the last
// call, never a part of it.
//
// Threads: used by one thread at a time.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/session.h"
#include "core/error.h"

namespace handover::backend {

class ManifestStore {
 public:
  ManifestStore() = default;
  ManifestStore(const ManifestStore&) = delete;
  ManifestStore& operator=(const ManifestStore&) = delete;
  virtual ~ManifestStore() = default;

  /// Puts `base` in place of the earlier base and its lines. If there is too little room this makes
  /// more, by calls to the kernel, and may wait for another process for some seconds. After an
  /// error the earlier text is kept.
  virtual Result<void> replace(std::string_view base) = 0;
  /// Adds `lines` at the end, by one write to memory. Never waits. limit_exceeded if there is no
  /// room, or no base yet: call replace(). After an error the earlier text is kept.
  virtual Result<void> append(std::string_view lines) = 0;
  /// Bytes that can still be added.
  [[nodiscard]] virtual std::size_t room() const = 0;

  /// Takes what holds the earlier kernel's manifest into this process, where that is a step of its
  /// own: stored_fds() has it then, and nobody but this process. Errors as those of unseal(), which
  /// does this itself.
  virtual Result<void> reach() { return {}; }
  /// Returns the manifest of the earlier kernel's daemon, base and lines; nullopt if there is none,
  /// or this has returned it before. Never waits. Errors: passing: call it again; state_lost: it is
  /// there and nobody can read it.
  /// The kernel keeps its copy until release(), which a successful replace() calls. Keep
  /// stored_fds() in the fd store until then: if the daemon dies, the next one reads it again.
  virtual Result<std::optional<std::string>> unseal() = 0;
  /// Lets the kernel free what unseal() has returned.
  virtual Result<void> release() = 0;

  /// Descriptors of the manifest that belong in systemd's fd store. Borrowed; valid until the next
  /// call.
  [[nodiscard]] virtual std::vector<Session::StoredFd> stored_fds() const = 0;
  /// Takes over what the fd store gave back. Never waits. An error leaves `parts` as they were; if
  /// it is not passing, they are no manifest of this keeper.
  virtual Result<void> adopt(std::vector<Adopted::Part>& parts) = 0;
};

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
// The module's resting sessions (rest.h).
//
// A resting session ends when the last client is thawed, or when a new session needs its name. In
// the second case the rest of its files is restored only when it is touched.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "backend/tracker_device.h"
#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::backend {

/// Any thread may call it. names() never waits for a call to the kernel.
class TrackerRest {
 public:
  explicit TrackerRest(std::shared_ptr<TrackerDevice> device) : device_(std::move(device)) {}

  /// Ends an incoming session, or lets it rest. Takes the descriptor if it succeeds.
  Result<void> finish(const std::string& name, UniqueFd& session);
  /// Ends the resting session of this name, if there is one. After an error it still rests.
  Result<void> free_name(const std::string& name);
  [[nodiscard]] std::vector<std::string> names() const;
  /// Takes over those of an earlier process that the module still has.
  void adopt(const std::vector<std::string>& names);
  /// Ends all of them. From now on no session rests.
  Result<void> restore(unsigned threads);

 private:
  /// Shared, so that a session can be ended without the lock. An empty descriptor: the session
  /// could not be reached yet.
  using Resting = std::map<std::string, std::shared_ptr<UniqueFd>>;

  [[nodiscard]] unsigned threads() const;
  /// A resting session by its name. ENOENT: there is none.
  [[nodiscard]] KernelResult<UniqueFd> find(const std::string& name) const;
  Result<void> end(const std::string& name, int session) const;
  /// Ends a resting session, and forgets it if that succeeds.
  Result<void> end_resting(const std::string& name, const std::shared_ptr<UniqueFd>& session);
  /// Whether any file of the session was retrieved. An errno if the module does not say.
  [[nodiscard]] KernelResult<bool> anything_retrieved(int session) const;

  std::shared_ptr<TrackerDevice> device_;
  mutable std::mutex mutex_;  ///< of what follows
  unsigned threads_ = 0;      ///< 0: clients are not thawed yet
  Resting resting_;
};

}  // namespace handover::backend

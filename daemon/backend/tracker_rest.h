// SPDX-License-Identifier: LGPL-2.1-or-later
// Sessions of the module that their owners are done with, kept until the rest may be restored.
//
// What was retrieved is restored at first touch; a background worker in the kernel does the rest,
// but only for a session that is not finished, and it would take processors from clients that are
// still being restored. So the kernel is told that a session is finished after the last client is
// thawed, or when somebody wants its name again: then its files are restored by touch alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/tracker_device.h"
#include "core/error.h"

namespace handover::backend {

class TrackerRest {
 public:
  explicit TrackerRest(std::shared_ptr<TrackerDevice> device) : device_(std::move(device)) {}

  /// Ends an incoming session, now or later. Takes the descriptor if it succeeds.
  Result<void> finish(const std::string& name, UniqueFd& session);
  /// The name is wanted: ends the resting session of it, if there is one. io: it rests on.
  Result<void> free_name(const std::string& name);
  [[nodiscard]] std::vector<std::string> names() const;
  /// Those of an earlier process. What the module does not have (any more) is passed over.
  void adopt(const std::vector<std::string>& names);
  /// From now on nobody waits.
  Result<void> restore(unsigned threads);

 private:
  [[nodiscard]] Result<void> end(const std::string& name, int session);
  /// Whether anything was given out that could be restored.
  [[nodiscard]] bool anything_retrieved(int session) const;

  std::shared_ptr<TrackerDevice> device_;
  unsigned threads_ = 0;  ///< 0: clients are not thawed yet
  std::map<std::string, UniqueFd> resting_;
};

}  // namespace handover::backend

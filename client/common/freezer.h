// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes COMMAND stand still and go on, in the way chosen by the operator.
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>
#include <memory>
#include <string>
#include <vector>

#include "freeze_method.h"

namespace handover::common {

class Freezer {
 public:
  virtual ~Freezer() = default;

  /// Where a child joins what is frozen: a descriptor to write "0" to, or -1.
  [[nodiscard]] virtual int procs_fd() const { return -1; }
  /// "PID (NAME)" of those of COMMAND's processes that would run on, as far as they can be told.
  virtual client::Result<std::vector<std::string>> out_of_reach(pid_t) {
    return std::vector<std::string>();
  }
  /// Asks `child` to stand still; is_still() tells when it does.
  virtual client::Result<void> freeze(pid_t child) = 0;
  virtual client::Result<bool> is_still(pid_t child) = 0;
  /// Harmless to one that runs.
  virtual client::Result<void> thaw(pid_t child) = 0;
  /// After a thaw(): `child` was asked to stop itself and has not been seen to, so it may still. To
  /// be looked for with is_still().
  [[nodiscard]] virtual bool may_stop_late() const { return false; }
  /// SIGKILL to all of COMMAND, without letting it run once more.
  virtual client::Result<void> kill(pid_t child) = 0;
};

client::Result<std::unique_ptr<Freezer>> make_freezer(const FreezeMethod& method);

}  // namespace handover::common

// SPDX-License-Identifier: LGPL-2.1-or-later
// What a keeper writes for the next kernel at the end of an update, when all clients are frozen.
#pragma once

#include "core/error.h"

namespace handover::backend {

/// Used by one thread at a time.
class Tables {
 public:
  Tables() = default;
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;
  virtual ~Tables() = default;

  /// Closes and opens the tables while workloads run, so that close() has less to do in the
  /// blackout: it preserves pages that were written since. Can take seconds. After an error call
  /// open(), to be sure.
  virtual Result<void> rehearse() = 0;
  /// Writes the tables that the next kernel finds the sessions by. Sessions cannot change until
  /// open(). A second call does nothing. After an error the tables are open.
  virtual Result<void> close() = 0;
  virtual Result<void> open() = 0;
};

}  // namespace handover::backend

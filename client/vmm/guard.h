// SPDX-License-Identifier: LGPL-2.1-or-later
// Sees to it that a process does not outlive us, however we end: a child of ours that waits for
// that. PR_SET_PDEATHSIG is not enough, as it is lost with the process's user (QEMU's -runas).
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>

#include "common/identity.h"

namespace handover::vmm {

/// In a child that becomes QEMU or one of its helpers, once its descriptors are in place: a process
/// group of its own, which ends when we end; `identity` as whom it runs, null: as us. False with
/// errno set.
bool prepare_child(const common::Identity* identity);

class Guard {
 public:
  /// Over a child that was not waited for yet.
  static client::Result<Guard> over(pid_t process);
  Guard(Guard&& other) noexcept;
  Guard& operator=(Guard&&) = delete;
  /// Kills the process, if it is still there.
  ~Guard();

 private:
  Guard(pid_t guard, client::Fd life) : guard_(guard), life_(std::move(life)) {}

  pid_t guard_;  ///< 0 once moved from
  client::Fd life_;
};

}  // namespace handover::vmm

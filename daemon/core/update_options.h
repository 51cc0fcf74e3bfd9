// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update is asked for: kernel, initrd, command line, mode.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "core/finding.h"
#include "core/words.h"

namespace handover {

/// Empty or absent: the configured default.
struct UpdateOptions {
  std::string kernel;                 ///< as choose_kernel() takes it
  std::optional<std::string> initrd;  ///< "" means none; absent: what belongs to the kernel
  std::string cmdline;
  std::optional<Mode> mode;
  /// Path of the boot loader entry that `kernel` was found by; "" if by none. Filled in.
  std::string entry = {};
  std::set<FindingId> allow = {};  ///< errors of preflight that it goes on in spite of
  /// Of a rehearsal: it is undone as soon as anybody stands still for longer; 0: no limit of its
  /// own
  std::uint64_t at_most_usec = 0;
  bool operator==(const UpdateOptions&) const = default;
};

/// For an update that goes on from `prepared`: options that are not given anew stay as they were
/// prepared. With another kernel, initrd, command line and what was allowed
/// are not kept.
UpdateOptions going_on(UpdateOptions asked, const UpdateOptions& prepared);

/// Whether a call asks for another target than the one that is prepared. Words for a kernel
/// ("newest", a release) are compared as they are: see names_another_kernel().
bool asks_for_another_target(const UpdateOptions& asked, const UpdateOptions& have);

/// Whether the kernel that is asked for is named otherwise than the prepared one; it may be the
/// same nevertheless.
bool names_another_kernel(const UpdateOptions& asked, const UpdateOptions& have);

}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update is asked for: kernel, initrd, command line, mode.
#pragma once

#include <optional>
#include <string>

#include "core/words.h"

namespace handover {

/// Empty or absent: the configured default.
struct UpdateOptions {
  std::string kernel;                 ///< as choose_kernel() takes it
  std::optional<std::string> initrd;  ///< "" means none; absent: what belongs to the kernel
  std::string cmdline;
  std::optional<Mode> mode;
  bool operator==(const UpdateOptions&) const = default;
};

/// For an update that goes on from `prepared`: options that are not given anew stay as they were
/// prepared. With another kernel, initrd and command line are not kept.
UpdateOptions going_on(UpdateOptions asked, const UpdateOptions& prepared);

}  // namespace handover

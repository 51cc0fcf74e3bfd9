// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update is asked for: kernel, initrd, command line, mode.
#pragma once

#include <optional>
#include <string>

namespace handover {

/// Empty: the configured default.
struct UpdateOptions {
  std::string kernel;
  std::optional<std::string>
      initrd;  ///< "" means none; absent: initrd.img-RELEASE beside the kernel if it is there
  std::string cmdline;
  std::string mode;
  bool operator==(const UpdateOptions&) const = default;
};

/// An update that goes on from `prepared`: what is not named anew stays as it was prepared. Another
/// kernel has an initrd and a command line of its own.
UpdateOptions going_on(UpdateOptions asked, const UpdateOptions& prepared);

}  // namespace handover

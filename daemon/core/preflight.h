// SPDX-License-Identifier: LGPL-2.1-or-later
// May this host go into that kernel now? Rules over plain values; each finding names its culprit.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"

namespace handover {

/// What kernel image inspection found (system/kernel_image.h reads it).
struct KernelImage {
  std::string path;
  std::string release;        ///< "7.3.4-handover"; "" if the image does not say
  std::set<std::string> abi;  ///< "kho-v4", "luo-v5", "memfd-v2" … found in its read-only data
};

/// What the running kernel speaks. Empty sets: could not be found out.
struct RunningKernel {
  std::string release;
  std::set<std::string> abi;
  bool kho_enabled = false;
  bool luo_available = false;  ///< /dev/liveupdate is there
  std::string cmdline;
};

struct PreflightInput {
  std::optional<KernelImage> target;  ///< absent: emulated, nothing is booted
  RunningKernel running;
  bool needs_luo = false;  ///< a session is kept by the luo backend
  bool memfds_preserved = false;
  std::vector<std::string> unfinished_sessions;  ///< incoming ones, not finished
  std::vector<std::string> missing_required_clients;
  std::string target_cmdline;
};

/// Empty: go. Otherwise every finding, the gravest first (the first becomes the D-Bus error):
/// not_supported and kernel_incompatible for the kernels, client_gone and incoming for this host's
/// clients and sessions. What could not be found out is a finding too: a wrong guess panics the new
/// kernel (luo_restore_fail) or drops the state.
std::vector<Error> preflight(const PreflightInput& input);

/// `cmdline` with `kho=on` and `liveupdate=on` ensured: replaces an off, appends what is missing,
/// keeps everything else and its order. Words inside "quotes" are one word; "--" ends the kernel's.
/// Between two words stands one space.
std::string ensure_cmdline(const std::string& cmdline);

}  // namespace handover

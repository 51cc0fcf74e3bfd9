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

/// The companion module that a target kernel would load (system/kernel_module.h finds it).
struct KernelModule {
  std::string path;
  std::string format;  ///< "handover_format" of its modinfo; "" if it does not say
};

/// The companion module, here and there.
struct ModuleInput {
  bool needed = false;                 ///< it holds something, or is configured to hold everything
  std::uint32_t format = 0;            ///< of the tables that the loaded one writes
  bool kho = false;                    ///< the running kernel lets it preserve
  std::optional<KernelModule> target;  ///< absent: there is none under /lib/modules/RELEASE
  std::string problem;                 ///< why it could not be read, if it is there
};

struct PreflightInput {
  std::optional<KernelImage> target;  ///< absent: emulated, nothing is booted
  RunningKernel running;
  bool needs_luo = false;  ///< the luo backend is there: it carries the manifest
  bool memfds_preserved = false;
  ModuleInput module;
  std::vector<std::string> unfinished_sessions;  ///< incoming ones, not finished
  std::vector<std::string> missing_required_clients;
  std::string target_cmdline;
};

/// Empty: go. Otherwise every finding, the gravest first (the first becomes the D-Bus error):
/// not_supported, kernel_incompatible and module_missing for the kernels, client_gone and incoming
/// for this host's clients and sessions. What could not be found out is a finding too: a wrong
/// guess panics the new kernel (luo_restore_fail) or drops the state.
std::vector<Error> preflight(const PreflightInput& input);

/// `cmdline` with `kho=on` and `liveupdate=on` ensured: replaces an off, appends what is missing,
/// keeps everything else and its order. Words inside "quotes" are one word; "--" ends the kernel's.
/// Between two words stands one space.
std::string ensure_cmdline(const std::string& cmdline);

}  // namespace handover

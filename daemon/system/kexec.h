// SPDX-License-Identifier: LGPL-2.1-or-later
// Loads a kernel for kexec, and leaves the running one: the only place with those system calls.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::system {

/// A target, opened once: what was inspected (kernel_image.h) is what is loaded, whatever happens
/// to the names meanwhile.
struct KexecImage {
  UniqueFd kernel;
  std::string kernel_path;
  std::optional<UniqueFd> initrd;
  std::string initrd_path;  ///< "" without one
};

/// kernel_not_found; not_a_kernel: no regular file.
Result<KexecImage> open_kernel(const std::string& path);
/// The initrd that the target boots with; "" for none. kernel_not_found; invalid_argument:
/// no regular file.
Result<void> open_initrd(KexecImage& image, const std::string& path);

/// The same for several that are loaded one behind the other (microcode, then the initrd). io,
/// kernel_not_found, invalid_argument.
Result<void> open_initrds(KexecImage& image, const std::vector<std::string>& paths);

/// kexec_file_load(2). kexec_load_failed (with what to do for EPERM, ENOEXEC, ENOMEM: no room in
/// KHO's scratch, EKEYREJECTED). Tens to hundreds of ms: a thread of the pool.
Result<void> load_kernel(const KexecImage& image, const std::string& cmdline);
/// Forgets a loaded kernel. Nothing loaded is no error.
Result<void> unload_kernel();
/// Whether a kernel is loaded, by us or by somebody else (/sys/kernel/kexec_loaded). io.
Result<bool> kernel_loaded(const std::string& root = "");

/// reboot(LINUX_REBOOT_CMD_KEXEC), and nothing before it: file systems are synced by now (sync.h).
/// Returns only on failure: kexec_failed.
Error kexec_now();

}  // namespace handover::system

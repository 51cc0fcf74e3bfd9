// SPDX-License-Identifier: LGPL-2.1-or-later
// Loads a kernel for kexec, and leaves the running one: the only place with those system calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::system {

/// By which a file that was written into is told from what it was.
struct FileState {
  std::uint64_t bytes = 0;
  std::int64_t changed_nsec = 0;     ///< its contents (mtime), since 1970
  std::int64_t any_change_nsec = 0;  ///< or what is known of it (ctime)
  bool operator==(const FileState&) const = default;
};

/// A target, opened once: what was inspected (kernel_image.h) is what is loaded, or nothing is.
struct KexecImage {
  UniqueFd kernel;
  std::string kernel_path;
  std::optional<UniqueFd> initrd;
  std::string initrd_path;  ///< "" without one
  /// When they were opened. Absent: it lies in memory, and nobody can change it.
  std::optional<FileState> kernel_state = {};
  std::optional<FileState> initrd_state = {};
};

/// kernel_not_found; not_a_kernel: no regular file.
Result<KexecImage> open_kernel(const std::string& path);
/// The initrd that the target boots with; "" for none. kernel_not_found; invalid_argument:
/// no regular file.
Result<void> open_initrd(KexecImage& image, const std::string& path);

/// The same for several that are loaded one behind the other (microcode, then the initrd). io,
/// kernel_not_found, invalid_argument.
Result<void> open_initrds(KexecImage& image, const std::vector<std::string>& paths);

/// Whether both files are as they were when they were opened. kexec_load_failed.
Result<void> check_unchanged(const KexecImage& image);

/// kexec_file_load(2), of what is unchanged before and after. kexec_load_failed (with what to do
/// for EPERM, ENOEXEC, ENOMEM: no room in KHO's scratch, EKEYREJECTED). Tens to hundreds of ms: a
/// thread of the pool.
Result<void> load_kernel(const KexecImage& image, const std::string& cmdline);
/// Forgets a loaded kernel. Nothing loaded is no error.
Result<void> unload_kernel();
/// Whether a kernel is loaded, by us or by somebody else (/sys/kernel/kexec_loaded). io.
Result<bool> kernel_loaded(const std::string& root = "");

/// reboot(LINUX_REBOOT_CMD_KEXEC), and nothing before it: file systems are synced by now (sync.h).
/// Returns only on failure: kexec_failed.
Error kexec_now();

}  // namespace handover::system

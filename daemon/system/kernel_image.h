// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads a kernel image without running it: its release and the live-update ABIs it speaks.
#pragma once

#include <string>

#include "core/error.h"
#include "core/preflight.h"

namespace handover::system {

enum class Architecture { x86_64, arm64 };

/// The one this program was built for.
Architecture host_architecture();

struct InspectedKernel {
  KernelImage image;
  std::string banner;  ///< the line that this build prints in /proc/version; "" if not found
  /// Why kexec_file_load() does not take it, though it is a kernel, and what to do; "" if it does.
  std::string not_loadable = {};
};

/// Reads an x86 bzImage (Documentation/arch/x86/boot.rst: "HdrS", kernel_version, payload_offset)
/// or an arm64 Image (Documentation/arch/arm64/booting.rst; plain, compressed, or an EFI zboot
/// image). The payload is unpacked with libarchive and searched for NUL-ended "kho-v<N>",
/// "luo-v<N>", "memfd-v<N>", and for the banner. `path` names it in messages and in the result.
/// not_a_kernel: neither of them, of another architecture than `architecture`, or damaged; io.
/// Takes up to a second: a thread of the pool.
Result<InspectedKernel> inspect_kernel(int fd, const std::string& path,
                                       Architecture architecture = host_architecture());

/// The release that an image says of itself; "" if it cannot be read. Faster than inspect_kernel():
/// x86's stands in its header.
std::string image_release(int fd, const std::string& path);

/// What the running kernel speaks. Its live trees in debugfs (KHO's and LUO's) say so themselves.
/// What they do not name, or all of it where debugfs is not mounted, is taken from an image
/// (/boot/vmlinuz-RELEASE, /lib/modules/RELEASE/vmlinuz, or what else there is of its release, also
/// unified), but only if its whole banner is that of /proc/version: another build may lie there
/// under the same release. KHO is on if its directory in
/// debugfs is there, or LUO's device, or if the command line says so to a kernel that has it.
Result<RunningKernel> running_kernel(const std::string& root = "");

}  // namespace handover::system

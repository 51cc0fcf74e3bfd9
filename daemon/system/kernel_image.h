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

/// x86 bzImage (Documentation/arch/x86/boot.rst: "HdrS", kernel_version, payload_offset) or arm64
/// Image (Documentation/arch/arm64/booting.rst; plain, compressed, or an EFI zboot image). The
/// payload is unpacked with libarchive and searched for NUL-ended "kho-v<N>", "luo-v<N>",
/// "memfd-v<N>". kernel_not_found; not_a_kernel: neither of them, of another architecture than
/// `architecture`, or damaged. Takes up to a second: call it from the worker thread.
Result<KernelImage> inspect_kernel(const std::string& path,
                                   Architecture architecture = host_architecture());

/// The newest image under `boot` ("/boot/vmlinuz-*", by version order); kernel_not_found.
Result<std::string> newest_kernel(const std::string& boot = "/boot");

/// The initrd that belongs to the image `kernel`, of that release, by Debian's names: initrd.img-X
/// for vmlinuz-X, or initrd.img-RELEASE, beside the image itself or beside a link to it
/// (/vmlinuz). "" if there is none.
std::string initrd_beside(const std::string& kernel, const std::string& release);

/// What the running kernel speaks: from its own image (/boot/vmlinuz-RELEASE,
/// /lib/modules/RELEASE/vmlinuz), else from KHO's and LUO's live trees in debugfs; and whether KHO
/// is on (/sys/kernel/debug/kho or kho=on on the command line and LUO's device is there).
Result<RunningKernel> running_kernel(const std::string& root = "");

}  // namespace handover::system

// SPDX-License-Identifier: LGPL-2.1-or-later
// Kernel images put together byte by byte, for tests of what reads them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace handover::system::test {

/// What a kernel of that release says in /proc/version, and kernel_text() in its banner.
std::string kernel_banner(std::string_view release);

/// A kernel's unpacked bytes: ELF magic, filler that does not compress, the banner with a
/// newline, each string of `abi` (ended with a space) with a NUL behind it, filler.
std::string kernel_text(std::string_view release, std::string_view abi, std::size_t filler = 4096);

/// "gzip", "bzip2", "lzma", "xz", "zstd", "lz4" (frame), "lz4-legacy" (what the kernel is built
/// with), "none".
std::string compress(const std::string& method, std::string_view bytes);

/// A bzImage around `text` (Documentation/arch/x86/boot.rst), as arch/x86/boot/compressed makes it:
/// the payload ends in the unpacked size.
std::string bzimage(const std::string& method, std::string_view release, std::string_view text);

/// An arm64 Image around `text` (Documentation/arch/arm64/booting.rst).
std::string arm64_image(std::string_view text);

/// An EFI zboot image around a compressed `image` (zboot-header.S).
std::string zboot(const std::string& method, std::string_view image);

}  // namespace handover::system::test

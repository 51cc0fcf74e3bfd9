// SPDX-License-Identifier: LGPL-2.1-or-later
// Where distributions put the initrd of a kernel image.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace handover {

/// Paths at which the initrd of an image may lie, the likeliest first: the names of Debian
/// (initrd.img-X), Fedora, Arch and Gentoo (initramfs-X.img), openSUSE (initrd-X), Alpine
/// (initramfs-X), genkernel (initramfs-genkernel-ARCH-X), and of kernel-install (`initrd` beside
/// `linux`). X is what follows the image's name, and then the release.
/// `path` is where the image was found, `real` the file that it is (another one if it is a link,
/// whose own name says nothing of what it points to today). `release` is what the image says, or
/// "". An image below /lib/modules has its initrd in `boot`.
std::vector<std::string> initrd_paths(std::string_view path, std::string_view real,
                                      std::string_view release, std::string_view boot = "/boot");

}  // namespace handover

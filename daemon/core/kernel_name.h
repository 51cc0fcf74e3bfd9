// SPDX-License-Identifier: LGPL-2.1-or-later
// What the name of a file in /boot says of the kernel in it.
#pragma once

#include <string>
#include <string_view>

namespace handover {

/// "7.3.4-amd64" of "vmlinuz-7.3.4-amd64"; also kernel- (Gentoo), linux-, bzImage- and Image-. ""
/// if the name is no image's: a hidden file, an initrd, a configuration.
std::string name_of_image(std::string_view file);

/// Whether a name without its prefix is a release: it begins with a digit.
bool is_release(std::string_view name);

/// What packagers, signers, editors and older installations leave beside an image: ".sig", ".hmac",
/// ".efi.signed", ".dpkg-new", ".old", "~".
bool is_companion(std::string_view file);

/// What nobody updates to: a rescue system, the kernel of kdump, a memory test.
bool is_special(std::string_view name);

/// What makes one kernel of a version another than the next: "amd64" and "rt-amd64", "generic" and
/// "lowlatency", "rpt-rpi-v8". Numbers that change from version to version are left out: "arch" of
/// "7.3.4-arch1-1", "el.x86_64" of "6.12.0-55.27.1.el10_0.x86_64", "amd64" of
/// "6.12.9+deb13-amd64".
std::string flavour_of(std::string_view release);

/// The last part of a path.
std::string_view file_of(std::string_view path);

/// The release that the directory of an image says: of "…/modules/RELEASE/vmlinuz", or of
/// "MACHINE-ID/RELEASE/linux" (kernel-install) and "…/linux-HASH" (openSUSE). "" if it says none.
std::string release_of_directory(std::string_view path);

/// The release that a path says: its directory, else the name of the file. "" if neither does.
std::string release_of_path(std::string_view path);

}  // namespace handover

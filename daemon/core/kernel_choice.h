// SPDX-License-Identifier: LGPL-2.1-or-later
// Which kernel is meant: rules over what lies in /boot and below /lib/modules.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/boot_entry.h"
#include "core/error.h"

namespace handover {

struct FoundImage {
  std::string path;  ///< as it was listed
  std::string real;  ///< with all links followed; "": it is no file
  bool is_link = false;
  std::string release = {};  ///< as the image itself says; "" if it was not asked
};

/// What this host could boot.
struct BootListing {
  std::vector<FoundImage> images;  ///< everything in /boot, and /lib/modules/*/vmlinuz
  std::vector<BootEntry> entries;
  std::set<std::string> modules;  ///< releases that have a directory below /lib/modules
  std::string machine_id;
  std::string loader_conf;  ///< the text of loader/loader.conf
  LoaderVariables loader_variables = {};
  std::string grubenv;  ///< that of grub2/grubenv or grub/grubenv
};

struct KernelChoice {
  std::string path;                ///< of the image, or of the unified kernel image
  std::string release;             ///< as far as it is known
  std::optional<BootEntry> entry;  ///< it was found by this one, or named by it
  std::string why;                 ///< half a sentence: "the newest of 3 kernels …"
};

struct InstalledKernel {
  std::string path;     ///< of the image, or of the unified kernel image
  std::string release;  ///< as far as it is known
  bool operator==(const InstalledKernel&) const = default;
};

/// What an update could go into by name: no links, no rescue systems, no companion files, each
/// image once. One below /lib/modules only if there is no other of its release.
std::vector<InstalledKernel> installed_kernels(const BootListing& listing);

/// Whether the image must be asked for its release, since its name does not say it for certain.
bool must_be_asked(const FoundImage& image);

/// `wanted` is
/// - "" or "newest": the newest one of the running kernel's kind (flavour_of()). No link to an
///   image of another release, no rescue system, no kernel of kdump, no companion file, no entry of
///   another machine or without tries left. An image whose name has no version (Arch, Alpine)
///   counts if there are modules for it. Of one release, an image in /boot comes before an entry,
///   and that before one below /lib/modules, which has no initrd beside it.
/// - "default": what the boot loader boots by default, by its entries
/// - a path: the image, unified image or entry of that path
/// - a release, or what follows "vmlinuz-"; the id of an entry
/// kernel_not_found, with what is there; invalid_argument: a path that is not absolute.
Result<KernelChoice> choose_kernel(std::string_view wanted, const BootListing& listing,
                                   std::string_view running);

}  // namespace handover

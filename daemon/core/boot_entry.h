// SPDX-License-Identifier: LGPL-2.1-or-later
// An entry of a boot loader's menu, as the Boot Loader Specification has them (uapi-group.org,
// UAPI.1): type 1 is a text file, type 2 a unified kernel image.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace handover {

struct BootEntry {
  std::string id;      ///< name of its file, without the counter of tries
  std::string source;  ///< path of its file
  std::string title, version, machine_id, sort_key, architecture;
  std::string linux;                   ///< path of the kernel image; "" of a unified one
  std::string uki;                     ///< path of the unified kernel image; "" of another
  std::vector<std::string> initrds;    ///< paths, in their order
  std::string options;                 ///< the kernel's command line
  std::string release;                 ///< as far as the entry says
  std::optional<unsigned> tries_left;  ///< absent: it is not counted
  unsigned tries_done = 0;
  bool operator==(const BootEntry&) const = default;
};

/// `source` is the path of DIRECTORY/loader/entries/NAME.conf, `root` that DIRECTORY, below which
/// its paths are. invalid_argument: neither a kernel nor a unified image, a path that leads out, or
/// an entry for something else (`efi`).
Result<BootEntry> parse_boot_entry(std::string_view source, std::string_view root,
                                   std::string_view text);

/// Of a unified kernel image, from its sections (pe_image.h).
BootEntry entry_of_uki(std::string_view source, std::string_view osrel, std::string_view uname,
                       std::string_view cmdline);

/// The order of the menu, as bootctl and systemd-boot have it: the first is what is booted unless
/// something else was chosen. Entries that used up their tries are last.
bool menu_order(const BootEntry& a, const BootEntry& b);

/// The first of the menu that counts; nullptr: none does.
const BootEntry* first_in_menu(const std::vector<BootEntry>& entries,
                               const std::function<bool(const BootEntry&)>& counts);

/// The id of the entry that GRUB boots by default, of the text of its grubenv ("saved_entry="); ""
/// if that says none.
std::string grub_default(std::string_view grubenv);

/// What systemd-boot keeps in the firmware's variables (systemd's BOOT_LOADER_INTERFACE); "" each
/// if it is not there.
struct LoaderVariables {
  std::string entry_default;  ///< LoaderEntryDefault: `bootctl set-default`, or "d" in the menu
  std::string last_booted;    ///< LoaderEntryLastBooted: what "@saved" means
};

/// What is booted by default: what the variables say, else loader.conf, whose text `loader_conf`
/// is, else the first of the menu. `entries` may be in any order. nullptr: there is none. What is
/// chosen for the next boot alone (LoaderEntryOneShot) is no default.
const BootEntry* default_entry(const std::vector<BootEntry>& entries, std::string_view loader_conf,
                               const LoaderVariables& variables = {});

/// By id, with or without ".conf" or ".efi", or by the path of its file. nullptr: there is none.
const BootEntry* find_entry(const std::vector<BootEntry>& entries, std::string_view wanted);

}  // namespace handover

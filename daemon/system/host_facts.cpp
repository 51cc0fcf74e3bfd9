// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/host_facts.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "core/config.h"
#include "core/kernel_cmdline.h"
#include "core/modprobe_rules.h"
#include "core/mountinfo.h"
#include "system/crypt_volumes.h"
#include "system/deny_lists.h"
#include "system/enabled_units.h"
#include "system/files.h"
#include "system/memory_blocks.h"
#include "system/package_locks.h"
#include "system/small_files.h"

namespace handover::system {

namespace {

namespace fs = std::filesystem;

constexpr auto efi_secure_boot =
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// "none [integrity] confidentiality".
Lockdown lockdown_of(const std::string& text) {
  if (text.find("[integrity]") != std::string::npos) return Lockdown::integrity;
  if (text.find("[confidentiality]") != std::string::npos) return Lockdown::confidentiality;
  return Lockdown::none;
}

/// Four bytes of attributes, and the value.
bool secure_boot_is_on(const std::string& root) {
  const auto variable = read_file(root + efi_secure_boot);
  return variable && variable->size() == 5 && variable->back() == 1;
}

/// As fstype_is_network() of systemd, and what it does not know.
bool is_network_type(std::string_view type) {
  constexpr std::array<std::string_view, 28> types = {
      "afs",    "ceph", "cifs",      "smb3",    "smbfs", "sshfs",  "ncpfs",
      "ncp",    "nfs",  "nfs4",      "gfs",     "gfs2",  "gpfs",   "glusterfs",
      "pvfs2",  "9p",   "ocfs2",     "lustre",  "davfs", "davfs2", "orangefs",
      "beegfs", "coda", "ceph-fuse", "juicefs", "s3fs",  "rclone", "curlftpfs"};
  constexpr std::string_view fuse = "fuse.";
  if (type.starts_with(fuse)) type.remove_prefix(fuse.size());
  return std::find(types.begin(), types.end(), type) != types.end();
}

std::vector<NetworkMount> network_mounts_in(const std::string& mountinfo) {
  std::vector<NetworkMount> found;
  for (const auto& mount : parse_mountinfo(mountinfo)) {
    if (is_network_type(mount.type)) found.push_back({mount.point, std::string(mount.type)});
  }
  return found;
}

/// The first column, below a line of titles (proc(5), /proc/swaps).
std::vector<std::string> swaps_in(const std::string& text) {
  std::vector<std::string> swaps;
  for (const auto& line : lines_of(text)) {
    const auto words = words_of(line);
    if (!words.empty() && words[0].starts_with('/')) swaps.push_back(words[0]);
  }
  return swaps;
}

/// The path of a device as a command line names it (systemd, fstab_node_to_udev_node()).
std::string device_path(const std::string& name) {
  constexpr std::array<std::array<std::string_view, 2>, 4> kinds = {
      {{"UUID=", "/dev/disk/by-uuid/"},
       {"PARTUUID=", "/dev/disk/by-partuuid/"},
       {"LABEL=", "/dev/disk/by-label/"},
       {"PARTLABEL=", "/dev/disk/by-partlabel/"}}};
  for (const auto& [prefix, directory] : kinds) {
    if (name.starts_with(prefix)) return std::string(directory) + name.substr(prefix.size());
  }
  return name.starts_with("/dev/") ? name : std::string();
}

/// What udev knows of a block device, by libblkid: "swap", or "swsuspend" where a hibernation has
/// left its image. "" if it is not known.
std::string signature_of(const fs::path& device, const std::string& root) {
  const auto number = text_in(root + "/sys/class/block/" + device.filename().string() + "/dev");
  if (number.empty()) return {};
  constexpr std::string_view type = "E:ID_FS_TYPE=";
  const auto known = std::string(root).append("/run/udev/data/b").append(number);
  for (const auto& line : lines_of(text_in(known))) {
    if (line.starts_with(type)) return line.substr(type.size());
  }
  return {};
}

/// A device in use as swap holds no image (kernel/power/swap.c: its signature is another).
void look_at_resume(HostFacts& facts, const std::string& cmdline, const std::string& root) {
  std::string name;
  for (const auto& word : parse_cmdline(cmdline).words) {
    if (word.name == "noresume") return;
    if (word.name == "resume") name = word.value.value_or("");
  }
  // systemd's, which it removes when it has resumed.
  constexpr auto variable =
      "/sys/firmware/efi/efivars/HibernateLocation-8cf2644b-4b0b-428f-9387-6d876050dc67";
  facts.hibernate_location = ::access((root + variable).c_str(), F_OK) == 0;
  const auto path = device_path(name);
  std::error_code error;
  const auto device = fs::canonical(root + path, error);
  if (path.empty() || error) return;
  const bool in_use =
      std::any_of(facts.swaps.begin(), facts.swaps.end(), [&](const std::string& swap) {
        std::error_code none;
        return fs::canonical(root + swap, none) == device;
      });
  const auto signature = signature_of(device, root);
  if (in_use || signature == "swap") return;
  facts.resume_device = path;
  facts.resume_image = signature == "swsuspend";
}

/// Those whose descriptors we may look at: without CAP_SYS_PTRACE, not all of root's.
std::vector<std::string> holders_of_liveupdate(const std::string& root) {
  std::vector<std::string> holders;
  const auto own = std::to_string(::getpid());
  for (const auto& process : names_in_directory(root + "/proc")) {
    if (process.find_first_not_of("0123456789") != std::string::npos || process == own) continue;
    const auto directory = std::string(root).append("/proc/").append(process);
    std::error_code error;
    fs::directory_iterator fd(directory + "/fd", error);
    for (const fs::directory_iterator end; !error && fd != end; fd.increment(error)) {
      std::error_code not_read;
      const auto target = fs::read_symlink(fd->path(), not_read);
      // It is the same for all of a process.
      if (not_read == std::errc::permission_denied) break;
      if (target != "/dev/liveupdate") continue;
      holders.push_back(text_in(directory + "/comm").append(" (process ").append(process) + ")");
      break;
    }
  }
  return holders;
}

std::uint64_t uptime_in(const std::string& text) {
  try {
    return static_cast<std::uint64_t>(std::stod(text) * 1e6);
  } catch (const std::exception&) {
    return 0;
  }
}

/// systemd.minimum_uptime_sec=, as systemd reads it: "-" and "_" are one, the last counts, and what
/// it cannot read changes nothing (kernel-command-line(7)).
void take_minimum_uptime(const std::string& cmdline, HostFacts& facts) {
  auto all = parse_cmdline(cmdline);
  all.words.insert(all.words.end(), all.init.begin(), all.init.end());
  for (auto& word : all.words) {
    std::replace(word.name.begin(), word.name.end(), '-', '_');
    if (word.name != "systemd.minimum_uptime_sec" || !word.value) continue;
    if (const auto usec = parse_duration(*word.value)) facts.minimum_uptime_usec = *usec;
  }
}

}  // namespace

HostFacts host_facts(const std::string& target_cmdline, const std::optional<InitrdFacts>& initrd,
                     const std::string& root) {
  HostFacts facts;
  look_into_deny_lists(facts, root);
  facts.package_locks = package_locks(root);
  facts.locked_volumes = locked_volumes(target_cmdline, initrd, root);
  facts.network_mounts = network_mounts_in(text_in(root + "/proc/self/mountinfo"));
  facts.lockdown = lockdown_of(text_in(root + "/sys/kernel/security/lockdown"));
  facts.secure_boot = secure_boot_is_on(root);
  facts.modules_must_be_signed = text_in(root + "/sys/module/module/parameters/sig_enforce") == "Y";
  facts.swaps = swaps_in(text_in(root + "/proc/swaps"));
  look_at_resume(facts, target_cmdline, root);
  facts.crash_loaded = text_in(root + "/sys/kernel/kexec_crash_loaded") == "1";
  if (facts.crash_loaded) {
    // Of Fedora and openSUSE, and of Debian.
    facts.crash_loader = enabled_unit({"kdump.service", "kdump-tools.service"}, root);
  }
  facts.has_microcode =
      ::access((root + "/sys/devices/system/cpu/cpu0/microcode/version").c_str(), F_OK) == 0;
  facts.hot_added_bytes = hot_added_memory(root);
  take_minimum_uptime(text_in(root + "/proc/cmdline"), facts);
  facts.uptime_usec = uptime_in(text_in(root + "/proc/uptime"));
  facts.liveupdate_holders = holders_of_liveupdate(root);
#if defined(__x86_64__)
  facts.clocksource =
      text_in(root + "/sys/devices/system/clocksource/clocksource0/current_clocksource");
#endif
  return facts;
}

std::string blocker_of_module(const std::string& module, const std::string& target_cmdline,
                              const std::string& root) {
  if (const auto word = blocking_word(target_cmdline, module); !word.empty()) {
    return std::string(word) + "= of the target's command line";
  }
  // The first file of a name hides the others (modprobe.d(5)).
  std::set<std::string> seen;
  for (const auto* directory :
       {"/etc/modprobe.d/", "/run/modprobe.d/", "/usr/local/lib/modprobe.d/",
        "/usr/lib/modprobe.d/", "/lib/modprobe.d/"}) {
    for (const auto& name : names_in_directory(root + directory)) {
      if (!name.ends_with(".conf") || !seen.insert(name).second) continue;
      auto path = std::string(directory).append(name);
      if (is_blocked_by_file(text_in(root + path), module)) return path;
    }
  }
  return {};
}

}  // namespace handover::system

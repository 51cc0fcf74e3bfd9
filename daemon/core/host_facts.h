// SPDX-License-Identifier: LGPL-2.1-or-later
// What preflight knows of the host, from its files (system/host_facts.h reads them). What could not
// be found out has its default value, about which nothing is said.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace handover {

/// A package manager at work.
struct PackageLock {
  std::string path;     ///< of the lock
  std::string process;  ///< "apt-get (process 12)"; "" if it is not known
  bool stays = false;   ///< when its process dies, so that it may be of none
};

/// What a person has to do for an encrypted volume.
enum class Unlocking {
  passphrase,
  security_key,  ///< touch it (FIDO2)
  pin,           ///< of a TPM or a smart card
  none,          ///< clevis is expected to do it
};

/// An encrypted volume that is open, or that the target's initrd opens, and for which a boot may
/// ask a person.
struct LockedVolume {
  std::string name;  ///< in /dev/mapper
  bool holds_root = false;
  bool in_initrd = false;  ///< by a line of the initrd's own crypttab
  Unlocking by = Unlocking::passphrase;
};

/// A file system of another host.
struct NetworkMount {
  std::string path;
  std::string type;
};

/// The line of a deny list that has this host.
struct DeniedHost {
  std::string source;  ///< "FILE:LINE"
  std::string reason;
};

enum class Lockdown { none, integrity, confidentiality };

struct HostFacts {
  std::optional<DeniedHost> denied;
  std::vector<std::string> deny_problems;  ///< "FILE:LINE: what is wrong with it"
  std::vector<PackageLock> package_locks;
  std::vector<LockedVolume> locked_volumes;
  std::vector<NetworkMount> network_mounts;
  Lockdown lockdown = Lockdown::none;
  bool secure_boot = false;
  bool modules_must_be_signed = false;  ///< by the kernel's parameter sig_enforce
  std::vector<std::string> swaps;       ///< in use
  /// The device of resume= in the target's command line, if it is there, not in use as swap, and
  /// not known to have no image of a hibernation.
  std::string resume_device;
  bool resume_image = false;  ///< there is one in it
  bool hibernate_location =
      false;                   ///< systemd's EFI variable names one, and the target looks for it
  bool crash_loaded = false;   ///< a kernel for a panic, by kdump
  std::string crash_loader;    ///< the unit that loads one in the next boot; "": none is enabled
  std::string clocksource;     ///< "tsc"
  bool has_microcode = false;  ///< the kernel knows the revision of the processor's
  std::uint64_t hot_added_bytes = 0;  ///< memory that the boot loader's map has not, and that is
                                      ///< not movable
  std::uint64_t uptime_usec = 0;
  /// How long the host must be up before PID 1 lets it go: systemd.minimum_uptime_sec= of the
  /// running command line; 0: not at all.
  std::uint64_t minimum_uptime_usec = 15'000'000;
  std::vector<std::string> liveupdate_holders;  ///< other processes: "luo-tool (process 12)"
};

}  // namespace handover

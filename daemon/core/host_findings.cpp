// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/host_findings.h"

#include <string_view>

#include "core/text.h"

namespace handover {

namespace {

constexpr std::uint64_t mebibyte = UINT64_C(1) << 20U;

void check_deny_lists(const HostFacts& host, FindingList& findings) {
  if (host.denied) {
    findings.add(
        FindingId::kexec_denied,
        "this host cannot kexec, by " + printable(host.denied->source) + ": " +
            printable(host.denied->reason),
        "reboot it, or put a file of the same name into /etc/handover/kexec-deny.d if that "
        "is wrong here");
  }
  for (const auto& problem : host.deny_problems) {
    findings.add(FindingId::deny_list_unread,
                 printable(problem) +
                     ", so that this line of a list of hosts that cannot kexec is "
                     "left out",
                 "mend it (docs/preflight.md)");
  }
}

void check_packages(const HostFacts& host, FindingList& findings) {
  for (const auto& lock : host.package_locks) {
    if (lock.stays) {
      findings.add(FindingId::packages_changing,
                   "a package manager is at work, or it died (" + printable(lock.path) +
                       " is there), and a kexec would leave packages half installed",
                   "update when it is done, or remove that file if none runs");
      continue;
    }
    const auto who = lock.process.empty() ? std::string("a package manager")
                                          : "package manager " + printable(lock.process);
    findings.add(FindingId::packages_changing,
                 who + " is at work (it has " + printable(lock.path) +
                     "), and a kexec would leave packages half installed",
                 "update when it is done");
  }
}

/// What the boot has somebody do, behind "the boot may ask a person": half a sentence.
std::string_view asked_of_a_person(Unlocking by) {
  switch (by) {
    case Unlocking::security_key:
      return "may ask a person to touch a security key (FIDO2)";
    case Unlocking::pin:
      return "may ask a person for the PIN of a TPM or a smart card";
    case Unlocking::passphrase:
    case Unlocking::none:
      break;
  }
  return "may ask a person for its key";
}

void check_volume(const LockedVolume& volume, FindingList& findings) {
  const auto name = "the encrypted volume " + in_quotes(volume.name);
  const bool early = volume.holds_root || volume.in_initrd;
  const std::string who = early ? "the target's initrd " : "the boot ";
  if (volume.by == Unlocking::none) {
    findings.add(
        FindingId::clevis_unlocks,
        "clevis is expected to open " + name + ", and where it cannot, " + who + "asks a person",
        "");
    return;
  }
  const auto asks = who + std::string(asked_of_a_person(volume.by));
  if (volume.holds_root) {
    findings.add(
        FindingId::root_locked,
        "the root file system is on " + name + ", and " + asks + " while all clients stand still",
        "name what opens it in crypttab (tpm2-device=, a key file), or set "
        "\"preflight\": {\"root-locked\": \"ignore\"} if a TPM does that systemd-cryptenroll "
        "enrolled");
    return;
  }
  findings.add(FindingId::volume_locked,
               asks + ", to open " + name +
                   (volume.in_initrd ? " (its own crypttab), while all clients stand still"
                                     : " (/etc/crypttab)"),
               "let a TPM or a key file open it, or have somebody at the console");
}

void check_network(const HostFacts& host, Mode mode, FindingList& findings) {
  if (mode != Mode::immediate || host.network_mounts.empty()) return;
  std::vector<std::string> mounts;
  for (const auto& mount : host.network_mounts) {
    mounts.push_back(printable(mount.path) + " (" + printable(mount.type) + ")");
  }
  findings.add(FindingId::network_mounts,
               "an immediate kexec cuts the network file system" +
                   std::string(mounts.size() == 1 ? " " : "s ") + few_of(mounts) +
                   " off, with what is not written back and the locks that are held there",
               "unmount what is not needed, or update with --orderly");
}

void check_memory(const HostFacts& host, FindingList& findings) {
  if (!host.swaps.empty()) {
    std::vector<std::string> swaps;
    for (const auto& swap : host.swaps) swaps.push_back(printable(swap));
    findings.add(FindingId::swap_used,
                 "swap is in use (" + few_of(swaps) +
                     "), from which all that is preserved is read back first, and which does not "
                     "survive the kexec",
                 "");
  }
  if (host.resume_image) {
    findings.add(
        FindingId::resume_image,
        "an image of a hibernation lies in " + printable(host.resume_device) +
            " (resume= of the target's command line), and the target would resume that one "
            "in place of booting",
        "add noresume, or swapon that device, which removes the image");
  } else if (host.hibernate_location) {
    findings.add(FindingId::resume_device,
                 "the EFI variable HibernateLocation says that there is an image of a hibernation, "
                 "and the target resumes that one in place of booting",
                 "add noresume");
  } else if (!host.resume_device.empty()) {
    findings.add(FindingId::resume_device,
                 "the target's command line has resume= with " + printable(host.resume_device) +
                     ", which is no swap in use now, and if an image of a hibernation lies in it, "
                     "the target resumes that one in place of booting",
                 "add noresume, or swapon that device");
  }
  if (host.hot_added_bytes > 0) {
    findings.add(FindingId::memory_hot_added,
                 std::to_string(host.hot_added_bytes / mebibyte) +
                     " MiB of memory were added after the boot, and the target does not know of "
                     "them when it looks for what is preserved there",
                 "online added memory as movable (memhp_default_state=online_movable), where "
                 "nothing is preserved, or reboot once");
  }
}

void check_clocks(const HostFacts& host, Mode mode, FindingList& findings) {
  const auto minimum = host.minimum_uptime_usec;
  if (mode == Mode::orderly && host.uptime_usec > 0 && host.uptime_usec < minimum) {
    findings.add(FindingId::uptime_short,
                 "this host is up for " + std::to_string(host.uptime_usec / 1'000'000) +
                     " s, and PID 1 may wait until it is " + std::to_string(minimum / 1'000'000) +
                     " s (systemd.minimum_uptime_sec=), with all clients standing still",
                 "update a little later");
  }
  if (!host.clocksource.empty() && host.clocksource != "tsc") {
    findings.add(FindingId::clock_unstable,
                 "the kernel's clock is " + printable(host.clocksource) +
                     " and not the processor's counter (tsc), by which the times of an update are "
                     "measured across the kexec, so that they may be wrong",
                 "");
  }
}

}  // namespace

void check_host(const HostFacts& host, Mode mode, FindingList& findings) {
  check_deny_lists(host, findings);
  check_packages(host, findings);
  for (const auto& volume : host.locked_volumes) check_volume(volume, findings);
  check_network(host, mode, findings);
  check_memory(host, findings);
  check_clocks(host, mode, findings);
  for (const auto& holder : host.liveupdate_holders) {
    findings.add(FindingId::liveupdate_held,
                 "process " + printable(holder) +
                     " has /dev/liveupdate open, which one process at a time can use",
                 "end it before the update");
  }
}

}  // namespace handover

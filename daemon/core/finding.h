// SPDX-License-Identifier: LGPL-2.1-or-later
// What preflight has found: an id that scripts may rely on, how grave it is, a sentence, and what
// to do. docs/preflight.md has every id; a test compares.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/enum_words.h"
#include "core/error.h"

namespace handover {

/// In the order in which they are told, the gravest first.
enum class Severity {
  error,    ///< the update does not begin
  warning,  ///< it does, and somebody should know
  fact,     ///< worth knowing
};
constexpr auto words(Severity) {
  return std::to_array<Word<Severity>>(
      {{Severity::error, "error"}, {Severity::warning, "warning"}, {Severity::fact, "fact"}});
}

enum class FindingId {
  needs_unknown,         ///< a client needs one that is not registered
  kernel_not_found,      ///< the target
  kernel_unusable,       ///< the target is none, or cannot be read
  kho_off,               ///< in the running kernel
  luo_off,               ///< in the running kernel
  target_without_kho,    ///< or without another part that is needed
  abi_unknown,           ///< of the running kernel
  abi_differs,           ///< the target does not understand the running kernel
  module_missing,        ///< for the target, while the one here holds state
  module_format,         ///< the target's reads other tables
  cmdline_too_long,      ///< the target would not get all of it
  cmdline_off,           ///< it does not switch kho or liveupdate on
  config_unread,         ///< what is built into the target is not known
  initrd_empty,          ///< it has no bytes
  initrd_damaged,        ///< it is cut, or no archive
  initrd_other_kernel,   ///< it has modules, and none of the target
  initrd_missing,        ///< the running kernel has one
  kernel_bad,            ///< an earlier update into the target lost the state, or its health failed
  client_missing,        ///< it is required
  session_incoming,      ///< it holds state of the earlier kernel
  session_degraded,      ///< the kernel does not hold all of it now
  session_lost,          ///< and its client has not made it anew
  client_frozen,         ///< it has not answered Thaw since an earlier update
  hook_refused,          ///< one of stage preflight
  modules_missing,       ///< the target has no directory below /lib/modules
  kernel_loaded,         ///< by somebody else
  hook_warns,            ///< one of stage preflight
  hook_unsafe,           ///< others than root could change it, so it is not run
  watchdog_unavailable,  ///< nothing resets a new kernel that hangs
  watchdog_stops,        ///< the kernel may stop it at the kexec
  uki_addons,            ///< the firmware would add them to the target
  bless_impossible,      ///< the boot loader cannot be told
  kernel_untried,        ///< no update has gone into the target yet
  kernel_chosen,         ///< which kernel, and why that one
  // of the host
  kexec_denied,          ///< this host is on a list of those that cannot kexec
  deny_list_unread,      ///< a line of such a list cannot be read
  packages_changing,     ///< a package manager is at work
  shutdown_inhibited,    ///< somebody has asked logind for no shutdown now
  shutdown_delayed,      ///< somebody wants to do something before a shutdown
  system_stopping,       ///< the host shuts down already
  shutdown_scheduled,    ///< for a later time
  system_starting,       ///< the host's boot is not over
  root_locked,           ///< a person may be asked for the root file system's key
  volume_locked,         ///< a person may be asked for another volume's key
  clevis_unlocks,        ///< clevis is expected to open a volume
  network_mounts,        ///< an immediate kexec cuts them
  swap_used,             ///< there is swap
  resume_image,          ///< the target resumes an old image in place of booting
  resume_device,         ///< the target may do that
  uptime_short,          ///< PID 1 waits before an orderly kexec
  memory_hot_added,      ///< the target does not know of it
  liveupdate_held,       ///< another process has /dev/liveupdate open
  clock_unstable,        ///< times across the kexec may be wrong
  unit_not_started,      ///< nothing starts it in the next boot
  target_older,          ///< than the running kernel
  target_same,           ///< it is the running kernel
  target_unsigned,       ///< and the running kernel is locked down
  secure_boot,           ///< the target has no signature, which may be needed
  module_unsigned,       ///< the target's companion module
  module_vermagic,       ///< it is made for another kernel
  module_not_indexed,    ///< modprobe does not find it
  module_blocked,        ///< it may not be loaded
  crashkernel_missing,   ///< the target has no room for a crash kernel
  crash_loader_missing,  ///< nothing loads one in the target
  crash_kernel_loaded,   ///< in the running kernel
  microcode_missing,     ///< the target's initrd has none
  // of its room
  scratch_small,   ///< the target does not fit in KHO's scratch areas
  memory_low,      ///< for the target and its initrd
  boot_keys,       ///< what they add to the next boot
  boot_keys_many,  ///< they add much to the next boot
  fd_store_small,  ///< of the next boot
  runtime_full,    ///< no room for the manifest
  state_full,      ///< no room for the update's record
};
constexpr auto words(FindingId) {
  return std::to_array<Word<FindingId>>({{FindingId::needs_unknown, "needs-unknown"},
                                         {FindingId::kernel_not_found, "kernel-not-found"},
                                         {FindingId::kernel_unusable, "kernel-unusable"},
                                         {FindingId::kho_off, "kho-off"},
                                         {FindingId::luo_off, "luo-off"},
                                         {FindingId::target_without_kho, "target-without-kho"},
                                         {FindingId::abi_unknown, "abi-unknown"},
                                         {FindingId::abi_differs, "abi-differs"},
                                         {FindingId::module_missing, "module-missing"},
                                         {FindingId::module_format, "module-format"},
                                         {FindingId::cmdline_too_long, "cmdline-too-long"},
                                         {FindingId::cmdline_off, "cmdline-off"},
                                         {FindingId::config_unread, "config-unread"},
                                         {FindingId::initrd_empty, "initrd-empty"},
                                         {FindingId::initrd_damaged, "initrd-damaged"},
                                         {FindingId::initrd_other_kernel, "initrd-other-kernel"},
                                         {FindingId::initrd_missing, "initrd-missing"},
                                         {FindingId::kernel_bad, "kernel-bad"},
                                         {FindingId::client_missing, "client-missing"},
                                         {FindingId::session_incoming, "session-incoming"},
                                         {FindingId::session_degraded, "session-degraded"},
                                         {FindingId::session_lost, "session-lost"},
                                         {FindingId::client_frozen, "client-frozen"},
                                         {FindingId::hook_refused, "hook-refused"},
                                         {FindingId::modules_missing, "modules-missing"},
                                         {FindingId::kernel_loaded, "kernel-loaded"},
                                         {FindingId::hook_warns, "hook-warns"},
                                         {FindingId::hook_unsafe, "hook-unsafe"},
                                         {FindingId::watchdog_unavailable, "watchdog-unavailable"},
                                         {FindingId::watchdog_stops, "watchdog-stops"},
                                         {FindingId::uki_addons, "uki-addons"},
                                         {FindingId::bless_impossible, "bless-impossible"},
                                         {FindingId::kernel_untried, "kernel-untried"},
                                         {FindingId::kernel_chosen, "kernel-chosen"},
                                         {FindingId::kexec_denied, "kexec-denied"},
                                         {FindingId::deny_list_unread, "deny-list-unread"},
                                         {FindingId::packages_changing, "packages-changing"},
                                         {FindingId::shutdown_inhibited, "shutdown-inhibited"},
                                         {FindingId::shutdown_delayed, "shutdown-delayed"},
                                         {FindingId::system_stopping, "system-stopping"},
                                         {FindingId::shutdown_scheduled, "shutdown-scheduled"},
                                         {FindingId::system_starting, "system-starting"},
                                         {FindingId::root_locked, "root-locked"},
                                         {FindingId::volume_locked, "volume-locked"},
                                         {FindingId::clevis_unlocks, "clevis-unlocks"},
                                         {FindingId::network_mounts, "network-mounts"},
                                         {FindingId::swap_used, "swap-used"},
                                         {FindingId::resume_image, "resume-image"},
                                         {FindingId::resume_device, "resume-device"},
                                         {FindingId::uptime_short, "uptime-short"},
                                         {FindingId::memory_hot_added, "memory-hot-added"},
                                         {FindingId::liveupdate_held, "liveupdate-held"},
                                         {FindingId::clock_unstable, "clock-unstable"},
                                         {FindingId::unit_not_started, "unit-not-started"},
                                         {FindingId::target_older, "target-older"},
                                         {FindingId::target_same, "target-same"},
                                         {FindingId::target_unsigned, "target-unsigned"},
                                         {FindingId::secure_boot, "secure-boot"},
                                         {FindingId::module_unsigned, "module-unsigned"},
                                         {FindingId::module_vermagic, "module-vermagic"},
                                         {FindingId::module_not_indexed, "module-not-indexed"},
                                         {FindingId::module_blocked, "module-blocked"},
                                         {FindingId::crashkernel_missing, "crashkernel-missing"},
                                         {FindingId::crash_loader_missing, "crash-loader-missing"},
                                         {FindingId::crash_kernel_loaded, "crash-kernel-loaded"},
                                         {FindingId::microcode_missing, "microcode-missing"},
                                         {FindingId::scratch_small, "scratch-small"},
                                         {FindingId::memory_low, "memory-low"},
                                         {FindingId::boot_keys, "boot-keys"},
                                         {FindingId::boot_keys_many, "boot-keys-many"},
                                         {FindingId::fd_store_small, "fd-store-small"},
                                         {FindingId::runtime_full, "runtime-full"},
                                         {FindingId::state_full, "state-full"}});
}

/// How grave a finding is unless it is overruled.
Severity usual_severity(FindingId id);

/// Whether an update can go on in spite of it. Without a target there is none.
bool may_be_overruled(FindingId id);

/// The D-Bus error of an update that ends by it.
ErrorCode code_of(FindingId id);

/// Who overruled a finding.
enum class Overruled {
  no,
  by_request,  ///< --allow
  by_config,   ///< "preflight"
};

struct Finding {
  FindingId id = FindingId::kernel_chosen;
  Severity severity = Severity::fact;
  std::string message;                  ///< one sentence, without a full stop
  std::string advice;                   ///< what to do; "" if there is nothing to do
  Overruled overruled = Overruled::no;  ///< it was graver
};

/// "message; advice".
std::string text_of(const Finding& finding);
Error to_error(const Finding& finding);

/// What the configuration says of an id.
enum class Ruling { error, warning, ignore };
constexpr auto words(Ruling) {
  return std::to_array<Word<Ruling>>(
      {{Ruling::error, "error"}, {Ruling::warning, "warning"}, {Ruling::ignore, "ignore"}});
}
using Rulings = std::map<FindingId, Ruling>;

/// The same findings, the gravest first, with those that are allowed as warnings, and the others as
/// the configuration wants them: what it ignores is a fact. What may not be overruled stays.
std::vector<Finding> judge(std::vector<Finding> findings, const Rulings& config,
                           const std::set<FindingId>& allowed);

/// The first error; nullptr if there is none.
const Finding* first_error(const std::vector<Finding>& findings);

/// What an update goes on in spite of, for its record: "initrd-missing (allowed by uid 0)". "" if
/// nothing was overruled.
std::string overruled_text(const std::vector<Finding>& findings, const std::string& requested_by);

/// The ids of that text, separated by commas or spaces. invalid_argument names those that there
/// are.
Result<std::set<FindingId>> parse_finding_ids(std::string_view text);

}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules that decide whether this host may go into that kernel now. They see plain values only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/finding.h"
#include "core/hook.h"
#include "core/host_facts.h"
#include "core/initrd_facts.h"
#include "core/kernel_cmdline.h"
#include "core/kernel_ledger.h"
#include "core/lost_session.h"
#include "core/manager_facts.h"
#include "core/room_facts.h"
#include "core/watchdog.h"
#include "core/words.h"

namespace handover {

/// What kernel image inspection found (system/kernel_image.h reads it).
struct KernelImage {
  std::string path;
  std::string release;        ///< "7.3.4-handover"; "" if the image does not say
  std::set<std::string> abi;  ///< "kho-v4", "luo-v5", "memfd-v2" … found in its read-only data
  /// CONFIG_CMDLINE, as far as its configuration lies beside it.
  std::optional<BuiltInCmdline> built_in = {};
  bool no_config = false;  ///< it does not, so that `built_in` is not known
  /// What kexec takes, with the NUL.
  std::size_t cmdline_bytes = handover::cmdline_bytes;
  std::uint64_t bytes = 0;         ///< of the file; 0: not known
  std::uint64_t memory_bytes = 0;  ///< that it unpacks itself in; 0: it does not say
  bool is_signed = false;          ///< by somebody
  std::string identity = {};       ///< image_identity(); "" if it was not looked at
};

/// What the running kernel speaks. Empty sets: could not be found out.
struct RunningKernel {
  std::string release;
  std::set<std::string> abi;
  bool kho_enabled = false;
  bool luo_available = false;  ///< /dev/liveupdate is there
  std::string cmdline;
  bool has_initrd = false;       ///< it was booted with one
  std::string abi_problem = {};  ///< what kept `abi` from being read; "" if nothing went wrong
  /// CONFIG_CMDLINE, of which `cmdline` has the text in front.
  std::optional<BuiltInCmdline> built_in = {};
};

/// The companion module that a target kernel would load (system/kernel_module.h finds it).
struct KernelModule {
  std::string path;
  std::string format;                ///< "handover_format" of its modinfo; "" if it does not say
  std::string vermagic = {};         ///< of its modinfo: "7.3.4 SMP …"
  bool is_signed = false;            ///< by somebody
  std::optional<bool> indexed = {};  ///< depmod knows it
  std::string blocked_by = {};       ///< "FILE" or "module_blacklist=" that forbids it; "": nobody
};

/// The companion module, here and there.
struct ModuleInput {
  bool needed = false;                 ///< it holds something, or is configured to hold everything
  std::uint32_t format = 0;            ///< of the tables that the loaded one writes
  bool kho = false;                    ///< the running kernel lets it preserve
  std::optional<KernelModule> target;  ///< absent: there is none under /lib/modules/RELEASE
  std::string problem;                 ///< why it could not be read, if it is there
};

struct PreflightInput {
  std::optional<KernelImage> target;         ///< absent: emulated, nothing is booted
  std::optional<Error> target_problem = {};  ///< why `target` is absent though one is to be booted
  std::string target_why = {};               ///< half a sentence: why this one was chosen
  std::vector<std::string> uki_addons = {};  ///< files that the firmware would add to the target
  std::string target_entry = {};             ///< id of the boot loader entry that it was found by
  /// What earlier updates say of the target; absent: that is not known.
  std::optional<KernelRecord> target_record = {};
  RunningKernel running;
  bool needs_luo = false;  ///< the luo backend is there: it carries the manifest
  bool memfds_preserved = false;
  ModuleInput module;
  std::vector<std::string> unfinished_sessions;  ///< incoming ones, not finished
  std::vector<std::string> missing_required_clients;
  std::vector<std::string> degraded_sessions;  ///< the kernel does not hold all of them now
  std::vector<LostSession> lost_sessions;      ///< of required clients that are there
  std::vector<std::string> unthawed_clients;   ///< required, and have not answered Thaw
  /// The running kernel has an initrd beside it; the target has none, and none was asked for.
  bool initrd_missing = false;
  std::optional<InitrdFacts> initrd;  ///< the target's, if it has one
  /// The running kernel has modules of its own (/lib/modules/RELEASE); the target has none.
  bool modules_missing = false;
  std::optional<WatchdogFacts> watchdog = {};  ///< absent: none is configured, or it is PID 1's
  std::string bless_problem = {};  ///< half a sentence: why the target cannot become the default
  std::string target_cmdline;
  std::string needs_unknown = {};  ///< a sentence: a client needs one that is not there
  bool kernel_loaded = false;      ///< for kexec, by somebody else
  Mode mode = Mode::immediate;
  CarriedFacts carried;
  // Of a host that boots a kernel.
  std::optional<HostFacts> host;
  std::optional<RoomFacts> room;
  std::vector<HookResult> hooks = {};         ///< of stage preflight
  std::vector<UnsafeHook> unsafe_hooks = {};  ///< of all stages
  ManagerFacts managers;
};

/// All findings, with their usual severities; the first error becomes the D-Bus error. Each one
/// names its culprit. What could not be found out is a finding, too: a wrong guess panics the new
/// kernel (luo_restore_fail) or loses the state.
std::vector<Finding> preflight(const PreflightInput& input);

/// Whether an error of looking at the target says that it is not there or not usable, which is a
/// finding like others; else what was asked for is wrong, or this host.
bool is_about_target(const Error& error);

/// Takes over what was found out about the target and the running kernel; the rest is the engine's.
void take_what_was_seen(PreflightInput& input, const PreflightInput& seen);

}  // namespace handover

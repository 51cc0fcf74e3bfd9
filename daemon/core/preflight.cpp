// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/preflight.h"

#include <algorithm>
#include <string_view>

#include "core/host_findings.h"
#include "core/manager_findings.h"
#include "core/room_findings.h"
#include "core/target_findings.h"
#include "core/text.h"

namespace handover {

namespace {

/// The strings of one ABI family: "kho" has "kho-v4".
std::set<std::string> family(const std::set<std::string>& abi, std::string_view name) {
  std::set<std::string> members;
  const std::string prefix = std::string(name) + "-v";
  for (const std::string& entry : abi) {
    if (entry.starts_with(prefix)) members.insert(entry);
  }
  return members;
}

std::string join(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ", ";
    text += printable(word);
  }
  return text;
}

std::string describe(const KernelImage& image) {
  std::string text = "the target kernel " + printable(image.path);
  if (!image.release.empty()) text += " (" + printable(image.release) + ")";
  return text;
}

/// Why something of the running kernel is not known, behind the sentence that says so.
std::string because(const RunningKernel& running) {
  return running.abi_problem.empty() ? "" : " (" + printable(running.abi_problem) + ")";
}

void check_running(const PreflightInput& input, FindingList& findings) {
  const RunningKernel& running = input.running;
  // Without LUO and debugfs, only the module can tell.
  if (!running.kho_enabled && !input.module.kho) {
    findings.add(FindingId::kho_off,
                 "kexec handover is off in the running kernel (" + printable(running.release) +
                     (running.abi_problem.empty() ? ")" : "), as far as is known") +
                     because(running),
                 "boot a kernel with CONFIG_KEXEC_HANDOVER and kho=on");
  }
  if (input.needs_luo && !running.luo_available) {
    findings.add(FindingId::luo_off,
                 "the live update orchestrator is off in the running kernel (" +
                     printable(running.release) + ")",
                 "boot a kernel with CONFIG_LIVEUPDATE and liveupdate=on");
  }
}

struct Family {
  std::string_view name;
  std::string_view title;
};

constexpr auto build_with = "build it with KEXEC_HANDOVER, LIVEUPDATE and LIVEUPDATE_MEMFD";

void check_family(const PreflightInput& input, const KernelImage& target, const Family& wanted,
                  FindingList& findings) {
  const std::set<std::string> speaks = family(input.running.abi, wanted.name);
  const std::set<std::string> understands = family(target.abi, wanted.name);
  const std::string title(wanted.title);
  if (understands.empty()) {
    findings.add(FindingId::target_without_kho, describe(target) + " has no " + title, build_with);
  } else if (speaks.empty()) {
    findings.add(FindingId::abi_unknown,
                 "cannot find out which ABI of " + title + " the running kernel (" +
                     printable(input.running.release) + ") speaks, to compare it with " +
                     join(understands) + " of " + describe(target) + because(input.running),
                 "put the running kernel's image into /boot");
  } else if (!std::includes(understands.begin(), understands.end(), speaks.begin(), speaks.end())) {
    findings.add(FindingId::abi_differs,
                 "the running kernel hands over as " + join(speaks) + ", but " + describe(target) +
                     " understands " + join(understands),
                 "choose a target with the same ABI");
  }
}

void check_target(const PreflightInput& input, const KernelImage& target, FindingList& findings) {
  constexpr Family kho{"kho", "kexec handover (KHO)"};
  constexpr Family luo{"luo", "live update orchestrator (LUO)"};
  constexpr Family memfd{"memfd", "memfd preservation"};
  if (family(target.abi, kho.name).empty()) {
    // One finding: without KHO the others follow.
    return findings.add(FindingId::target_without_kho,
                        describe(target) + " has no kexec handover (KHO)",
                        std::string(build_with) + ", or choose another");
  }
  check_family(input, target, kho, findings);
  // LUO hands its own entry over even with no session, and a target that has LUO but another ABI
  // panics on it; one without LUO ignores it, which only matters if there is a session.
  const bool target_has_luo = !family(target.abi, luo.name).empty();
  if (input.needs_luo || (input.running.luo_available && target_has_luo)) {
    check_family(input, target, luo, findings);
  }
  // With LUO the daemon's own manifest travels as a memfd.
  if (input.needs_luo || input.memfds_preserved) check_family(input, target, memfd, findings);
}

void check_module(const PreflightInput& input, const KernelImage& target, FindingList& findings) {
  const ModuleInput& module = input.module;
  if (!module.needed) return;
  if (target.release.empty()) {
    return findings.add(FindingId::module_missing,
                        describe(target) +
                            " does not say its release, so that its companion module cannot be "
                            "found",
                        "use another build of it");
  }
  if (!module.target && !module.problem.empty()) {
    return findings.add(FindingId::module_missing,
                        "the companion module of " + describe(target) +
                            " cannot be read: " + printable(module.problem),
                        "install it again");
  }
  if (!module.target) {
    return findings.add(
        FindingId::module_missing,
        "the companion module holds state, and there is no handover.ko for " + describe(target) +
            " below /lib/modules/" + printable(target.release) +
            ": it would lose what is preserved",
        "build and install it for that kernel (dkms, or: make -C kmod modules_install)");
  }
  if (module.target->format != std::to_string(module.format)) {
    const std::string reads = module.target->format.empty() ? std::string("no known format")
                                                            : "format " + module.target->format;
    findings.add(FindingId::module_format,
                 "the companion module that is loaded writes its tables in format " +
                     std::to_string(module.format) + ", but " + printable(module.target->path) +
                     " of " + describe(target) + " reads " + printable(reads),
                 "install the same version for both kernels");
  }
}

/// Whether the target gets all of its command line.
bool check_length(const std::string& given, const KernelImage& target, FindingList& findings) {
  const std::size_t most = target.cmdline_bytes - 1;
  const std::string has =
      "the target's command line has " + std::to_string(given.size()) + " bytes, ";
  if (given.size() > most) {
    findings.add(FindingId::cmdline_too_long,
                 has + "but kexec takes no more than " + std::to_string(most) + " of them for " +
                     describe(target),
                 "shorten it (--cmdline)");
    return false;
  }
  const auto& built_in = target.built_in;
  if (built_in && !built_in->overrides && !booted_cmdline(given, built_in).ends_with(given)) {
    findings.add(FindingId::cmdline_too_long,
                 has + "and with what is built into " + describe(target) +
                     " (CONFIG_CMDLINE) more than the " + std::to_string(cmdline_bytes - 1) +
                     " that a kernel reads, so that its end would be lost",
                 "shorten it (--cmdline)");
    return false;
  }
  return true;
}

void check_cmdline(const PreflightInput& input, const KernelImage& target, FindingList& findings) {
  if (target.no_config) {
    findings.add(FindingId::config_unread,
                 "the configuration of " + describe(target) +
                     " does not lie beside it (config-RELEASE), so that a command line that is "
                     "built into it (CONFIG_CMDLINE) is not seen",
                 "");
  }
  if (!check_length(input.target_cmdline, target, findings)) return;
  const auto line = booted_cmdline(input.target_cmdline, target.built_in);
  const bool overridden = target.built_in && target.built_in->overrides;
  for (const std::string_view name : {"kho", "liveupdate"}) {
    if ((name == "liveupdate" && !input.needs_luo) || is_on(line, name)) continue;
    const std::string wanted = std::string(name) + "=on";
    const std::string what = overridden
                                 ? describe(target) +
                                       " reads the command line that is built into it and no other "
                                       "(CONFIG_CMDLINE_OVERRIDE), which does not switch "
                                 : std::string("the target's command line does not switch ");
    findings.add(FindingId::cmdline_off,
                 what + std::string(name) + " on, so that it would drop the state",
                 overridden ? "build it with " + wanted + " there" : "add " + wanted);
  }
}

void check_initrd(const PreflightInput& input, const KernelImage& target, FindingList& findings) {
  constexpr auto make_again =
      "make it again (update-initramfs, dracut), or name another with --initrd FILE";
  if (input.initrd_missing) {
    findings.add(FindingId::initrd_missing,
                 "there is no initrd beside the target, though the running kernel has its own: "
                 "without one it may not find its root file system, and all state would be lost",
                 "make it (update-initramfs, dracut), name it with --initrd FILE, or boot without "
                 "one by --initrd ''");
  }
  if (input.initrd && input.initrd->only_microcode && input.running.has_initrd) {
    findings.add(FindingId::initrd_missing,
                 "the initrd " + printable(input.initrd->path) +
                     " has microcode and nothing else, though the running kernel has its own: "
                     "the target may not find its root file system, and all state would be lost",
                 "name one that has both, or an entry with both, or boot without one by --initrd "
                 "''");
  }
  if (!input.initrd) return;
  const InitrdFacts& initrd = *input.initrd;
  const std::string the_initrd = "the initrd " + printable(initrd.path);
  if (initrd.bytes == 0) {
    findings.add(FindingId::initrd_empty, the_initrd + " is empty (was the disk full?)",
                 make_again);
  } else if (!initrd.damage.empty()) {
    findings.add(FindingId::initrd_damaged, the_initrd + " is damaged: " + printable(initrd.damage),
                 make_again);
  } else if (!initrd.modules.empty() && !target.release.empty() &&
             !initrd.modules.contains(target.release)) {
    findings.add(FindingId::initrd_other_kernel,
                 the_initrd + " has the modules of " + join(initrd.modules) + ", and none of " +
                     describe(target) + ", which may not find its root file system with it",
                 "name the right one with --initrd FILE");
  }
}

void check_clients(const PreflightInput& input, FindingList& findings) {
  for (const std::string& client : input.missing_required_clients) {
    findings.add(FindingId::client_missing,
                 "client " + in_quotes(client) + " is required and not there",
                 "start it, or unregister it if the update may go on without it");
  }
  for (const std::string& session : input.unfinished_sessions) {
    findings.add(
        FindingId::session_incoming,
        "session " + in_quotes(session) +
            " still holds state of the earlier kernel, which a further update would lose",
        "let its client restore, or run: handoverctl session finish " + printable(session));
  }
  for (const std::string& session : input.degraded_sessions) {
    findings.add(FindingId::session_degraded,
                 "the kernel does not hold all of session " + in_quotes(session) +
                     " at present, which is tried again by itself",
                 "update when 'handoverctl sessions' shows it whole");
  }
  for (const LostSession& lost : input.lost_sessions) {
    const std::string part = lost.token ? "token " + std::to_string(*lost.token) + " of " : "";
    findings.add(FindingId::session_lost,
                 part + "session " + in_quotes(lost.session) + " was lost, and client " +
                     in_quotes(lost.client) +
                     " has not preserved it anew, so that this update would not carry it",
                 "restart its service, whose log says why it could not");
  }
  for (const std::string& client : input.unthawed_clients) {
    findings.add(FindingId::client_frozen,
                 "client " + in_quotes(client) +
                     " has not answered Thaw since an earlier update, and is still called",
                 "restart its service");
  }
}

/// What earlier updates say.
void check_record(const PreflightInput& input, const KernelImage& target, FindingList& findings) {
  if (!input.target_record) return;
  const KernelRecord& record = *input.target_record;
  if (record.state == KernelState::bad) {
    return findings.add(
        FindingId::kernel_bad,
        describe(target) + " is judged bad since update " + std::to_string(record.update) +
            (record.when.empty() ? "" : " (" + printable(record.when) + ")") + ": " +
            printable(record.reason, KernelLedger::most_reason_bytes),
        "choose another, or, if it was not to blame, run: handoverctl kernels allow " +
            printable(record.kernel.release));
  }
  if (record.state == KernelState::untried) {
    findings.add(
        FindingId::kernel_untried,
        "no update of this host has gone into " + describe(target) + " yet, as far as is known",
        "");
  }
}

void check_watchdog(const WatchdogFacts& watchdog, FindingList& findings) {
  const auto device = printable(watchdog.device);
  if (const auto why = why_not_armed(watchdog); !why.empty()) {
    return findings.add(
        FindingId::watchdog_unavailable,
        "the watchdog " + device +
            " does not watch over the kexec, so that a target that hangs stays so: " + why,
        "name another one in the configuration (watchdog), or none");
  }
  if (!counts_over_reboot(watchdog)) {
    findings.add(
        FindingId::watchdog_stops,
        "the kernel may stop the watchdog " + device + " when it leaves, as most drivers want it",
        "boot the running kernel with watchdog.stop_on_reboot=0");
  }
}

void check_hooks(const PreflightInput& input, FindingList& findings) {
  for (const HookResult& hook : input.hooks) {
    if (is_refusal(hook)) {
      findings.add(FindingId::hook_refused, sentence_of(hook),
                   "see the journal for all that it printed");
    } else if (hook.end == HookEnd::warned) {
      findings.add(FindingId::hook_warns, sentence_of(hook), "");
    }
  }
  for (const UnsafeHook& hook : input.unsafe_hooks) {
    findings.add(FindingId::hook_unsafe,
                 "hook " + in_quotes(hook.path) + " is not run: it " + printable(hook.why),
                 "make it root's, and writable for nobody else");
  }
}

void check_what_may_go_wrong(const PreflightInput& input, FindingList& findings) {
  if (input.target && input.modules_missing) {
    findings.add(FindingId::modules_missing,
                 "there are no modules of " + describe(*input.target) + " below /lib/modules/" +
                     printable(input.target->release) +
                     ", though the running kernel has its own: unless all that this host needs is "
                     "built in, or in the initrd, devices and file systems are missing after the "
                     "update",
                 "install them");
  }
  if (input.target && !input.bless_problem.empty()) {
    findings.add(FindingId::bless_impossible,
                 describe(*input.target) +
                     " cannot become the boot loader's default, so that a cold boot goes into "
                     "another: " +
                     printable(input.bless_problem),
                 "set the default yourself, or leave bless out of the configuration");
  }
  if (input.target && !input.uki_addons.empty()) {
    std::vector<std::string> files;
    for (const auto& file : input.uki_addons) files.push_back(printable(file));
    findings.add(FindingId::uki_addons,
                 "the firmware would add " + few_of(files) +
                     " to a unified kernel image, and a kexec does not",
                 "put what is needed of them on the command line (--cmdline)");
  }
  if (input.kernel_loaded) {
    findings.add(FindingId::kernel_loaded,
                 "a kernel is loaded for kexec already, by somebody else, and this update's takes "
                 "its place",
                 "find out who meant to boot it");
  }
  if (input.target && !input.target_why.empty()) {
    findings.add(FindingId::kernel_chosen, describe(*input.target) + " is " + input.target_why, "");
  }
}

/// Of a host that boots a kernel, also if the target is not there or not usable: whoever mends that
/// is not to meet the rest at the next try.
void check_surroundings(const PreflightInput& input, FindingList& findings) {
  check_managers(input.managers, findings);
  if (input.host) {
    check_host(*input.host, input.mode, findings);
    if (input.target) check_fit(input, *input.host, findings);
  }
  if (input.room) {
    TargetSize size;
    if (input.target) {
      size.image_bytes = input.target->bytes;
      size.memory_bytes = input.target->memory_bytes;
    }
    if (input.initrd) size.initrd_bytes = input.initrd->bytes;
    check_room(*input.room, size, findings);
    check_carried(input.carried, *input.room, findings);
  }
}

}  // namespace

std::vector<Finding> preflight(const PreflightInput& input) {
  FindingList findings;
  if (!input.needs_unknown.empty()) {
    findings.add(FindingId::needs_unknown, input.needs_unknown, "");
  }
  if (input.target_problem) {
    const bool missing = input.target_problem->code == ErrorCode::kernel_not_found;
    findings.add(missing ? FindingId::kernel_not_found : FindingId::kernel_unusable,
                 input.target_problem->message, "");
  }
  // Where no kernel is booted, nothing is known of the running one.
  const bool boots = input.target || (input.target_problem && !input.running.release.empty());
  if (boots) check_running(input, findings);
  if (input.target) {
    check_target(input, *input.target, findings);
    check_module(input, *input.target, findings);
    check_cmdline(input, *input.target, findings);
    check_initrd(input, *input.target, findings);
    check_record(input, *input.target, findings);
  }
  if (input.watchdog) check_watchdog(*input.watchdog, findings);
  check_clients(input, findings);
  check_hooks(input, findings);
  check_what_may_go_wrong(input, findings);
  if (boots) check_surroundings(input, findings);
  return findings.take();
}

bool is_about_target(const Error& error) {
  return error.code == ErrorCode::kernel_not_found || error.code == ErrorCode::not_a_kernel ||
         error.code == ErrorCode::io;
}

void take_what_was_seen(PreflightInput& input, const PreflightInput& seen) {
  input.target = seen.target;
  input.target_problem = seen.target_problem;
  input.target_why = seen.target_why;
  input.target_entry = seen.target_entry;
  input.uki_addons = seen.uki_addons;
  input.target_record = seen.target_record;
  input.watchdog = seen.watchdog;
  input.bless_problem = seen.bless_problem;
  input.running = seen.running;
  input.target_cmdline = seen.target_cmdline;
  input.initrd = seen.initrd;
  input.initrd_missing = seen.initrd_missing;
  input.modules_missing = seen.modules_missing;
  input.module.target = seen.module.target;
  input.module.problem = seen.module.problem;
  input.host = seen.host;
  input.room = seen.room;
  input.managers = seen.managers;
  input.carried.store_limit = seen.managers.fd_store_limit;
}

}  // namespace handover

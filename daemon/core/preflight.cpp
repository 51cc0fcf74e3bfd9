// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/preflight.h"

#include <algorithm>
#include <string_view>

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

class Findings {
 public:
  void add(ErrorCode code, std::string message) { list_.push_back({code, std::move(message), 0}); }
  [[nodiscard]] std::vector<Error> take() { return std::move(list_); }

 private:
  std::vector<Error> list_;
};

void check_running(const PreflightInput& input, Findings& findings) {
  // Without LUO and debugfs, only the module can tell.
  if (!input.running.kho_enabled && !input.module.kho) {
    findings.add(
        ErrorCode::not_supported,
        "kexec handover is off in the running kernel (" + printable(input.running.release) +
            (input.running.abi_problem.empty() ? ")" : "), as far as is known") +
            because(input.running) + "; boot a kernel with CONFIG_KEXEC_HANDOVER and kho=on");
  }
  if (input.needs_luo && !input.running.luo_available) {
    findings.add(ErrorCode::not_supported,
                 "the live update orchestrator is off in the running kernel (" +
                     printable(input.running.release) +
                     "); boot a kernel with CONFIG_LIVEUPDATE and liveupdate=on");
  }
}

struct Family {
  std::string_view name;
  std::string_view title;
};

void check_family(const PreflightInput& input, const KernelImage& target, const Family& wanted,
                  Findings& findings) {
  const std::set<std::string> speaks = family(input.running.abi, wanted.name);
  const std::set<std::string> understands = family(target.abi, wanted.name);
  const std::string title(wanted.title);
  if (understands.empty()) {
    findings.add(ErrorCode::kernel_incompatible,
                 describe(target) + " has no " + title +
                     "; build it with KEXEC_HANDOVER, LIVEUPDATE and LIVEUPDATE_MEMFD");
  } else if (speaks.empty()) {
    findings.add(ErrorCode::kernel_incompatible,
                 "cannot find out which ABI of " + title + " the running kernel (" +
                     printable(input.running.release) + ") speaks, to compare it with " +
                     join(understands) + " of " + describe(target) + because(input.running) +
                     "; put the running kernel's image into /boot");
  } else if (!std::includes(understands.begin(), understands.end(), speaks.begin(), speaks.end())) {
    findings.add(ErrorCode::kernel_incompatible,
                 "the running kernel hands over as " + join(speaks) + ", but " + describe(target) +
                     " understands " + join(understands) + "; choose a target with the same ABI");
  }
}

void check_target(const PreflightInput& input, const KernelImage& target, Findings& findings) {
  constexpr Family kho{"kho", "kexec handover (KHO)"};
  constexpr Family luo{"luo", "live update orchestrator (LUO)"};
  constexpr Family memfd{"memfd", "memfd preservation"};
  if (family(target.abi, kho.name).empty()) {
    // One finding: without KHO the others follow.
    return findings.add(
        ErrorCode::kernel_incompatible,
        describe(target) +
            " has no kexec handover (KHO); build it with KEXEC_HANDOVER, LIVEUPDATE "
            "and LIVEUPDATE_MEMFD, or choose another");
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

void check_module(const PreflightInput& input, const KernelImage& target, Findings& findings) {
  const ModuleInput& module = input.module;
  if (!module.needed) return;
  if (target.release.empty()) {
    return findings.add(ErrorCode::module_missing,
                        describe(target) +
                            " does not say its release, so that its companion module cannot be "
                            "found; use another build of it");
  }
  const std::string directory = "/lib/modules/" + printable(target.release);
  if (!module.target && !module.problem.empty()) {
    return findings.add(ErrorCode::module_missing,
                        "the companion module of " + describe(target) +
                            " cannot be read: " + printable(module.problem) + "; install it again");
  }
  if (!module.target) {
    return findings.add(ErrorCode::module_missing,
                        "the companion module holds state, and there is no handover.ko for " +
                            describe(target) + " below " + directory +
                            ": it would lose what is preserved; build and install it for that "
                            "kernel (dkms, or: make -C kmod modules_install)");
  }
  if (module.target->format != std::to_string(module.format)) {
    const std::string reads = module.target->format.empty() ? std::string("no known format")
                                                            : "format " + module.target->format;
    findings.add(ErrorCode::kernel_incompatible,
                 "the companion module that is loaded writes its tables in format " +
                     std::to_string(module.format) + ", but " + printable(module.target->path) +
                     " of " + describe(target) + " reads " + printable(reads) +
                     "; install the same version for both kernels");
  }
}

void check_cmdline(const PreflightInput& input, const KernelImage& target, Findings& findings) {
  const std::size_t most = target.cmdline_bytes - 1;
  const auto& given = input.target_cmdline;
  if (given.size() > most) {
    return findings.add(ErrorCode::kernel_incompatible,
                        "the target's command line has " + std::to_string(given.size()) +
                            " bytes, but kexec takes no more than " + std::to_string(most) +
                            " of them for " + describe(target) + "; shorten it (--cmdline)");
  }
  const auto line = booted_cmdline(given, target.built_in);
  if (target.built_in && !target.built_in->overrides && !line.ends_with(given)) {
    return findings.add(ErrorCode::kernel_incompatible,
                        "the target's command line has " + std::to_string(given.size()) +
                            " bytes, and with what is built into " + describe(target) +
                            " (CONFIG_CMDLINE) more than the " + std::to_string(cmdline_bytes - 1) +
                            " that a kernel reads, so that its end would be lost; shorten it "
                            "(--cmdline)");
  }
  for (const std::string_view name : {"kho", "liveupdate"}) {
    if (name == "liveupdate" && !input.needs_luo) continue;
    if (is_on(line, name)) continue;
    const std::string wanted = std::string(name) + "=on";
    std::string what = "the target's command line does not switch " + std::string(name) + " on";
    std::string todo = "add " + wanted;
    if (target.built_in && target.built_in->overrides) {
      what = describe(target) +
             " reads the command line that is built into it and no other "
             "(CONFIG_CMDLINE_OVERRIDE), which does not switch " +
             std::string(name) + " on";
      todo = "build it with " + wanted + " there";
    }
    findings.add(ErrorCode::kernel_incompatible,
                 what + ", so that it would drop the state; " + todo);
  }
}

void check_initrd(const PreflightInput& input, const KernelImage& target, Findings& findings) {
  if (!input.initrd) return;
  const InitrdFacts& initrd = *input.initrd;
  const std::string the_initrd = "the initrd " + printable(initrd.path);
  if (initrd.bytes == 0) {
    return findings.add(ErrorCode::kernel_not_found,
                        the_initrd +
                            " is empty (was the disk full?); make it again "
                            "(update-initramfs, dracut), or name another with --initrd "
                            "FILE");
  }
  if (!initrd.damage.empty()) {
    return findings.add(ErrorCode::kernel_not_found,
                        the_initrd + " is damaged: " + printable(initrd.damage) +
                            "; make it again (update-initramfs, dracut), or name another with "
                            "--initrd FILE");
  }
  if (initrd.modules.empty() || target.release.empty() || initrd.modules.contains(target.release)) {
    return;
  }
  findings.add(ErrorCode::kernel_incompatible,
               the_initrd + " has the modules of " + join(initrd.modules) + ", and none of " +
                   describe(target) +
                   ", which may not find its root file system with it; name the right one with "
                   "--initrd FILE");
}

}  // namespace

std::vector<Error> preflight(const PreflightInput& input) {
  Findings findings;
  if (input.target) {
    check_running(input, findings);
    check_target(input, *input.target, findings);
    check_module(input, *input.target, findings);
    check_cmdline(input, *input.target, findings);
    check_initrd(input, *input.target, findings);
  }
  if (input.initrd_missing) {
    findings.add(ErrorCode::kernel_not_found,
                 "there is no initrd beside the target, though the running kernel has its own: "
                 "without one it may not find its root file system, and all state would be lost; "
                 "make it (update-initramfs, dracut), name it with --initrd FILE, or boot without "
                 "one by --initrd ''");
  }
  for (const std::string& client : input.missing_required_clients) {
    findings.add(ErrorCode::client_gone, "client " + in_quotes(client) +
                                             " is required and not there; start it, or unregister "
                                             "it if the update may go on without it");
  }
  for (const std::string& session : input.unfinished_sessions) {
    findings.add(ErrorCode::incoming,
                 "session " + in_quotes(session) +
                     " still holds state of the earlier kernel, which a further update would lose; "
                     "let its client restore, or run: handoverctl session finish " +
                     printable(session));
  }
  for (const std::string& session : input.degraded_sessions) {
    findings.add(ErrorCode::busy, "the kernel does not hold all of session " + in_quotes(session) +
                                      " at present, which is tried again by itself; update when "
                                      "'handoverctl sessions' shows it whole");
  }
  for (const std::string& client : input.unthawed_clients) {
    findings.add(ErrorCode::busy, "client " + in_quotes(client) +
                                      " has not answered Thaw since an earlier update, and is "
                                      "still called; restart its service");
  }
  return findings.take();
}

std::vector<Error> preflight_warnings(const PreflightInput& input) {
  Findings findings;
  if (input.target && input.modules_missing) {
    findings.add(ErrorCode::kernel_incompatible,
                 "there are no modules of " + describe(*input.target) + " below /lib/modules/" +
                     printable(input.target->release) +
                     ", though the running kernel has its own: unless all that this host needs is "
                     "built in, or in the initrd, devices and file systems are missing after the "
                     "update; install them");
  }
  return findings.take();
}

}  // namespace handover

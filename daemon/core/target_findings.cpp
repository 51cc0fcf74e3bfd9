// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/target_findings.h"

#include <string_view>

#include "core/kernel_cmdline.h"
#include "core/text.h"
#include "core/version_order.h"

namespace handover {

namespace {

bool has_word(std::string_view cmdline, std::string_view name) {
  for (const auto& word : parse_cmdline(cmdline).words) {
    if (word.name == name) return true;
  }
  return false;
}

void check_age(const KernelImage& target, const std::string& running, FindingList& findings) {
  if (target.release.empty() || running.empty()) return;
  if (target.release == running) {
    findings.add(FindingId::target_same,
                 "the target has the release of the running kernel (" + printable(running) + ")",
                 "");
  } else if (version_less(target.release, running)) {
    findings.add(FindingId::target_older,
                 "the target (" + printable(target.release) +
                     ") is older than the running kernel (" + printable(running) + ")",
                 "name another kernel if that is not meant");
  }
}

void check_signature(const KernelImage& target, const HostFacts& host, FindingList& findings) {
  if (target.is_signed || target.path.empty()) return;
  constexpr auto sign = "install a signed kernel";
  // kimage_validate_signature(): EPERM, with CONFIG_KEXEC_SIG, and unless IMA appraises kernels.
  if (host.lockdown != Lockdown::none) {
    findings.add(FindingId::target_unsigned,
                 printable(target.path) +
                     " has no signature, and the running kernel is locked down, so that it may "
                     "refuse to load it",
                 sign);
  } else if (host.secure_boot) {
    findings.add(FindingId::secure_boot,
                 printable(target.path) +
                     " has no signature, and Secure Boot is on, so that the running kernel may "
                     "refuse to load it",
                 sign);
  }
}

/// What keeps modprobe from loading it in the target.
void check_loading(const PreflightInput& input, const HostFacts& host, FindingList& findings) {
  if (!input.module.needed || !input.module.target) return;
  const auto& module = *input.module.target;
  const auto path = printable(module.path);
  const auto& release = input.target->release;
  const auto made_for = module.vermagic.substr(0, module.vermagic.find(' '));
  // same_magic(), kernel/module/version.c: with CONFIG_MODVERSIONS the symbols' checksums count,
  // and weak-updates of another release are loaded.
  const bool by_checksums = module.vermagic.find(" modversions ") != std::string::npos;
  if (!made_for.empty() && !release.empty() && made_for != release && !by_checksums) {
    findings.add(FindingId::module_vermagic,
                 path + " is made for " + printable(made_for) + ", and " + printable(release) +
                     " would not load it",
                 "build it for that kernel (dkms)");
  }
  if (!module.is_signed && (host.modules_must_be_signed || host.lockdown != Lockdown::none)) {
    findings.add(FindingId::module_unsigned,
                 path +
                     " has no signature, and the running kernel loads only signed modules, as "
                     "the target will",
                 "sign it (dkms does with its own key, once that is enrolled by mokutil)");
  }
  if (module.indexed == false) {
    findings.add(FindingId::module_not_indexed,
                 path + " is not in modules.dep of its kernel, so that modprobe would not find it",
                 "run: depmod " + printable(release));
  }
  if (!module.blocked_by.empty()) {
    findings.add(FindingId::module_blocked,
                 "the companion module would not be loaded in the target, by " +
                     printable(module.blocked_by),
                 "take it off that list");
  }
}

/// What a panic in the target would meet, and one in the running kernel.
void check_crash_kernel(const PreflightInput& input, const HostFacts& host, FindingList& findings) {
  const bool kept = host.crash_loaded || has_word(input.running.cmdline, "crashkernel");
  if (kept && !has_word(input.target_cmdline, "crashkernel")) {
    findings.add(FindingId::crashkernel_missing,
                 "the running kernel keeps memory for a crash kernel (crashkernel=)" +
                     std::string(host.crash_loaded ? ", in which one is loaded" : "") +
                     ", and the target's command line does not, so that kdump would not work",
                 "add crashkernel= to it");
  } else if (host.crash_loaded && host.crash_loader.empty()) {
    findings.add(FindingId::crash_loader_missing,
                 "a crash kernel is loaded, and no unit is enabled that loads one in the target "
                 "(kdump.service, kdump-tools.service)",
                 "enable it, or load one after the update");
  }
  if (host.crash_loaded) {
    findings.add(
        FindingId::crash_kernel_loaded,
        "a crash kernel is loaded: after a panic before the kexec it boots in the target's "
        "place, and what is preserved is lost",
        "");
  }
}

}  // namespace

void check_fit(const PreflightInput& input, const HostFacts& host, FindingList& findings) {
  const auto& target = *input.target;
  check_age(target, input.running.release, findings);
  check_signature(target, host, findings);
  check_loading(input, host, findings);
  check_crash_kernel(input, host, findings);
  if (host.has_microcode && input.initrd && input.initrd->bytes > 0 &&
      input.initrd->has_microcode == false) {
    findings.add(FindingId::microcode_missing,
                 "the target's initrd has no microcode, so that the processors keep the revision "
                 "that they have now",
                 "");
  }
}

}  // namespace handover

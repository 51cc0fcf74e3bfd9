// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/preflight.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "core/text.h"

namespace handover {

namespace {

constexpr std::array switches = {std::string_view("kho"), std::string_view("liveupdate")};

/// Splits as the kernel's next_arg() does (lib/cmdline.c): blanks separate, except in "quotes".
std::vector<std::string> split_words(const std::string& cmdline) {
  std::vector<std::string> words;
  std::string word;
  bool in_quotes = false;
  for (const char c : cmdline) {
    if (std::isspace(static_cast<unsigned char>(c)) != 0 && !in_quotes) {
      if (!word.empty()) words.push_back(word);
      word.clear();
      continue;
    }
    if (c == '"') in_quotes = !in_quotes;
    word += c;
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

/// A word as the kernel reads it: next_arg() drops the quotes around a word or its value.
std::string without_quotes(std::string word) {
  std::erase(word, '"');
  return word;
}

bool sets(const std::string& word, std::string_view name) {
  const std::string plain = without_quotes(word);
  return plain == name || plain.starts_with(std::string(name) + "=");
}

/// Both parameters are read by kstrtobool() (lib/kstrtox.c): the first letter counts, "on" by two.
bool sets_on(const std::string& word, std::string_view name) {
  const std::string plain = without_quotes(word);
  if (plain.size() <= name.size() + 1 || !sets(word, name)) return false;
  const std::string value = plain.substr(name.size() + 1);
  switch (value[0]) {
    case 'y':
    case 'Y':
    case 't':
    case 'T':
    case '1':
      return true;
    case 'o':
    case 'O':
      return value.size() > 1 && (value[1] == 'n' || value[1] == 'N');
    default:
      return false;
  }
}

/// Where the kernel stops reading: what follows "--" is init's.
std::vector<std::string>::iterator end_of_kernel_words(std::vector<std::string>& words) {
  return std::find(words.begin(), words.end(), "--");
}

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

void check_cmdline(const PreflightInput& input, Findings& findings) {
  for (const std::string_view name : switches) {
    if (name == "liveupdate" && !input.needs_luo) continue;
    if (!is_on(input.target_cmdline, name)) {
      findings.add(ErrorCode::kernel_incompatible,
                   "the target's command line does not switch " + std::string(name) +
                       " on, so that it would drop the state; add " + std::string(name) + "=on");
    }
  }
}

}  // namespace

bool is_on(const std::string& cmdline, std::string_view name) {
  std::vector<std::string> words = split_words(cmdline);
  bool on = false;
  for (auto word = words.begin(); word != end_of_kernel_words(words); ++word) {
    if (sets(*word, name)) on = sets_on(*word, name);
  }
  return on;
}

std::vector<Error> preflight(const PreflightInput& input) {
  Findings findings;
  if (input.target) {
    check_running(input, findings);
    check_target(input, *input.target, findings);
    check_module(input, *input.target, findings);
    check_cmdline(input, findings);
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

std::string ensure_cmdline(const std::string& cmdline) {
  std::vector<std::string> words = split_words(cmdline);
  for (const std::string_view name : switches) {
    const std::string wanted = std::string(name) + "=on";
    bool there = false;
    const auto end = end_of_kernel_words(words);
    for (auto word = words.begin(); word != end; ++word) {
      if (!sets(*word, name)) continue;
      there = true;
      if (!sets_on(*word, name)) *word = wanted;
    }
    if (!there) words.insert(end, wanted);
  }
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <string_view>

#include "system/abi_scan.h"
#include "system/files.h"
#include "system/initrd.h"
#include "system/kernel_image.h"
#include "system/kexec.h"

namespace handover::system {
namespace {

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<std::string> one_line(const std::string& path) {
  return read_file(path).map([](std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  });
}

/// What kept one of the places from saying what the running kernel speaks.
class Problems {
 public:
  void add(const std::string& sentence) { text_ += (text_.empty() ? "" : "; ") + sentence; }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// The trees that the running kernel offers to the next one say what it speaks.
std::set<std::string> abi_of_live_trees(const std::string& root, Problems& problems) {
  AbiScan scan;
  for (const std::string_view blob : {"fdt", "sub_fdts/LUO"}) {
    const auto bytes = read_file(root + "/sys/kernel/debug/kho/out/" + std::string(blob));
    if (!bytes) {
      // Without debugfs, or LUO, there is none.
      if (bytes.error().sys_errno != ENOENT) problems.add(bytes.error().message);
      continue;
    }
    scan.feed(*bytes);
    scan.feed(std::string_view("\0", 1));  // a string at the very end of a blob is ended too
  }
  return scan.abi();
}

/// "kho" of "kho-v4".
std::string_view family(std::string_view abi) { return abi.substr(0, abi.find('-')); }

bool has_family(const std::set<std::string>& abi, std::string_view name) {
  return std::any_of(abi.begin(), abi.end(),
                     [name](const std::string& one) { return family(one) == name; });
}

/// The ABIs of the image of that name, if it is the build that runs.
std::set<std::string> abi_of_image(const std::string& path, const std::string& version,
                                   Problems& problems) {
  const auto opened = open_kernel(path);
  if (!opened) {
    if (opened.error().sys_errno != ENOENT) problems.add(opened.error().message);
    return {};
  }
  const auto inspected = inspect_kernel(opened->kernel.get(), path);
  if (!inspected) {
    problems.add(inspected.error().message);
    return {};
  }
  if (inspected->banner != version) {
    problems.add(path + " is another build than the one that runs");
    return {};
  }
  return inspected->image.abi;
}

/// Whether a boot loader gave the running kernel an initrd: setup header and struct boot_params of
/// Documentation/arch/x86/boot.rst and zero-page.rst. Absent: it does not say (arm64).
std::optional<bool> was_given_initrd(const std::string& root) {
  constexpr std::size_t ramdisk_size = 0x21c;
  constexpr std::size_t ext_ramdisk_size = 0xc4;
  const auto parameters = read_file(root + "/sys/kernel/boot_params/data");
  if (!parameters || parameters->size() < ramdisk_size + 4) return std::nullopt;
  const auto any = [&parameters](std::size_t at) {
    return parameters->substr(at, 4) != std::string(4, '\0');
  };
  return any(ramdisk_size) || any(ext_ramdisk_size);
}

}  // namespace

Result<RunningKernel> running_kernel(const std::string& root) {
  const auto release = one_line(root + "/proc/sys/kernel/osrelease");
  if (!release) return fail(release.error());
  const auto cmdline = one_line(root + "/proc/cmdline");
  if (!cmdline) return fail(cmdline.error());

  const auto version = one_line(root + "/proc/version");
  if (!version) return fail(version.error());

  RunningKernel result;
  result.release = *release;
  result.cmdline = *cmdline;
  result.luo_available = exists(root + "/dev/liveupdate");
  Problems problems;
  result.abi = abi_of_live_trees(root, problems);
  for (const std::string& path :
       {root + "/boot/vmlinuz-" + *release, root + "/lib/modules/" + *release + "/vmlinuz"}) {
    const auto said = abi_of_image(path, *version, problems);
    const auto live = result.abi;
    std::copy_if(said.begin(), said.end(), std::inserter(result.abi, result.abi.end()),
                 [&live](const std::string& one) { return !has_family(live, family(one)); });
    if (!said.empty()) break;
  }
  result.abi_problem = problems.text();
  // LUO is off without KHO, and then has no device (liveupdate_early_init()). The command line
  // alone proves nothing: a kernel without KHO ignores it.
  result.kho_enabled = exists(root + "/sys/kernel/debug/kho") || result.luo_available ||
                       (is_on(*cmdline, "kho") && has_family(result.abi, "kho"));
  result.has_initrd = was_given_initrd(root).value_or(
      !find_initrd(root + "/boot/vmlinuz-" + *release, *release, root).empty());
  return result;
}

}  // namespace handover::system

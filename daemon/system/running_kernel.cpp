// SPDX-License-Identifier: LGPL-2.1-or-later
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/kernel_choice.h"
#include "system/abi_scan.h"
#include "system/boot_listing.h"
#include "system/files.h"
#include "system/initrd.h"
#include "system/kernel_config.h"
#include "system/kernel_image.h"
#include "system/kexec.h"
#include "system/regular_file.h"
#include "system/uki.h"

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
  auto opened = open_kernel(path);
  if (!opened) {
    if (opened.error().sys_errno != ENOENT) problems.add(opened.error().message);
    return {};
  }
  if (const auto apart = take_apart(*opened); !apart) {
    problems.add(apart.error().message);
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

/// Everything that may be the running kernel's: where distributions put it, and only if it is
/// called otherwise, or unified, what else /boot and the boot loader's entries have of its release.
class OwnFiles {
 public:
  OwnFiles(std::string release, std::string root)
      : release_(std::move(release)), root_(std::move(root)) {}

  [[nodiscard]] std::vector<std::string> usual() const {
    return {root_ + "/boot/vmlinuz-" + release_, root_ + "/lib/modules/" + release_ + "/vmlinuz"};
  }
  std::vector<std::string> others() {
    const auto known = usual();
    std::vector<std::string> paths;
    for (const auto& kernel : installed_kernels(listing())) {
      const bool is_new = std::find(known.begin(), known.end(), kernel.path) == known.end();
      if (kernel.release == release_ && is_new) paths.push_back(kernel.path);
    }
    return paths;
  }
  /// Beside one of them, in one, or named by its entry.
  bool have_initrd() {
    const auto has = [this](const std::string& path) {
      return !find_initrd(path, release_, root_).empty();
    };
    if (has(usual().front())) return true;
    const auto paths = others();
    const auto& entries = listing().entries;
    return std::any_of(paths.begin(), paths.end(), has) ||
           std::any_of(entries.begin(), entries.end(), [this](const BootEntry& entry) {
             return entry.release == release_ && (!entry.initrds.empty() || is_in(entry.uki));
           });
  }

 private:
  static bool is_in(const std::string& uki) {
    const auto fd = open_regular(uki);
    const auto head = fd ? read_uki_head(fd->get()) : std::nullopt;
    return head && head->has_initrd;
  }
  const BootListing& listing() {
    if (!listing_) listing_ = boot_listing(root_);
    return *listing_;
  }

  std::string release_;
  std::string root_;
  std::optional<BootListing> listing_;
};

/// What an image says that the live trees do not.
void add_abi_of_images(OwnFiles& files, const std::string& version, std::set<std::string>& abi,
                       Problems& problems) {
  const auto live = abi;
  const auto ask = [&](const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
      const auto said = abi_of_image(path, version, problems);
      std::copy_if(said.begin(), said.end(), std::inserter(abi, abi.end()),
                   [&live](const std::string& one) { return !has_family(live, family(one)); });
      if (!said.empty()) return true;
    }
    return false;
  };
  if (!ask(files.usual())) ask(files.others());
}

/// Whether a boot loader gave the running kernel an initrd: setup header and struct boot_params of
/// Documentation/arch/x86/boot.rst and zero-page.rst, or what it wrote into the device tree (arm64;
/// Documentation/devicetree/usage-model.rst). Absent: it does not say; EFI's stub writes no tree.
std::optional<bool> was_given_initrd(const std::string& root) {
  if (exists(root + "/proc/device-tree/chosen/linux,initrd-start")) return true;
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
  result.built_in =
      built_in_cmdline(kernel_config(root + "/boot/vmlinuz-" + *release, *release, root));
  result.luo_available = exists(root + "/dev/liveupdate");
  Problems problems;
  result.abi = abi_of_live_trees(root, problems);
  OwnFiles files(*release, root);
  add_abi_of_images(files, *version, result.abi, problems);
  result.abi_problem = problems.text();
  // LUO is off without KHO, and then has no device (liveupdate_early_init()). The command line
  // alone proves nothing: a kernel without KHO ignores it.
  result.kho_enabled = exists(root + "/sys/kernel/debug/kho") || result.luo_available ||
                       (is_on(*cmdline, "kho") && has_family(result.abi, "kho"));
  const auto given = was_given_initrd(root);
  result.has_initrd = given ? *given : files.have_initrd();
  return result;
}

}  // namespace handover::system

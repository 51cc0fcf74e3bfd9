// SPDX-License-Identifier: LGPL-2.1-or-later
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/version_order.h"
#include "system/abi_scan.h"
#include "system/files.h"
#include "system/kernel_image.h"
#include "system/kexec.h"

namespace handover::system {
namespace {

constexpr std::string_view image_prefix = "vmlinuz-";

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

bool is_file(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

/// What packagers and editors leave beside a kernel.
bool is_leftover(std::string_view name) {
  constexpr std::array<std::string_view, 7> endings = {
      ".old", ".bak", ".dpkg-new", ".dpkg-bak", ".dpkg-tmp", ".rpmsave", "~"};
  for (const std::string_view ending : endings) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

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

}  // namespace

Result<std::string> newest_kernel(const std::string& boot) {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(boot.c_str()));
  if (!directory) {
    return fail_errno("cannot look for kernels in " + boot, errno, ErrorCode::kernel_not_found);
  }
  std::string newest;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name(entry->d_name);
    if (!name.starts_with(image_prefix) || is_leftover(name)) continue;
    if (!is_file(boot + "/" + std::string(name))) continue;
    const std::string release(name.substr(image_prefix.size()));
    if (newest.empty() || version_less(newest, release)) newest = release;
  }
  if (newest.empty()) {
    return fail(ErrorCode::kernel_not_found,
                "there is no vmlinuz-* in " + boot + ": install a kernel, or name one");
  }
  return boot + "/" + std::string(image_prefix) + newest;
}

std::string initrd_beside(const std::string& kernel, const std::string& release) {
  std::vector<std::filesystem::path> images;
  std::error_code error;
  // A link's own name says nothing of what it points to today.
  if (auto image = std::filesystem::canonical(kernel, error); !error) images.push_back(image);
  images.emplace_back(kernel);
  for (const auto& image : images) {
    const std::string name = image.filename().string();
    std::vector<std::string> names;
    if (name.starts_with(image_prefix)) names.push_back(name.substr(image_prefix.size()));
    // What an image says of itself leads to no other directory.
    if (release.find('/') == std::string::npos) names.push_back(release);
    for (const auto& of : names) {
      std::string initrd = (image.parent_path() / ("initrd.img-" + of)).string();
      if (is_file(initrd)) return initrd;
    }
  }
  return {};
}

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
  return result;
}

}  // namespace handover::system

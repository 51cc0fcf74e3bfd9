// SPDX-License-Identifier: LGPL-2.1-or-later
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "system/abi_scan.h"
#include "system/files.h"
#include "system/kernel_image.h"
#include "system/version_order.h"

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

/// The trees that the running kernel offers to the next one say what it speaks.
std::set<std::string> abi_of_live_trees(const std::string& root) {
  AbiScan scan;
  for (const std::string_view blob : {"fdt", "sub_fdts/LUO"}) {
    const auto bytes = read_file(root + "/sys/kernel/debug/kho/out/" + std::string(blob));
    if (!bytes) continue;  // no debugfs: the caller learns it from the empty set
    scan.feed(*bytes);
    scan.feed(std::string_view("\0", 1));  // a string at the very end of a blob is ended too
  }
  return scan.abi();
}

bool has_word(std::string_view cmdline, std::string_view word) {
  std::size_t at = 0;
  while (at < cmdline.size()) {
    const std::size_t end = std::min(cmdline.find(' ', at), cmdline.size());
    if (cmdline.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
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

  RunningKernel result;
  result.release = *release;
  result.cmdline = *cmdline;
  result.luo_available = exists(root + "/dev/liveupdate");
  result.kho_enabled = exists(root + "/sys/kernel/debug/kho") ||
                       (result.luo_available && has_word(*cmdline, "kho=on"));

  for (const std::string& path :
       {root + "/boot/vmlinuz-" + *release, root + "/lib/modules/" + *release + "/vmlinuz"}) {
    const auto image = inspect_kernel(path);
    // An image of that name may be another build: believed only if it says the same release.
    if (image && image->release == *release && !image->abi.empty()) {
      result.abi = image->abi;
      return result;
    }
  }
  result.abi = abi_of_live_trees(root);
  return result;
}

}  // namespace handover::system

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/kernel_files.h"

#include <cstdint>
#include <utility>

#include "core/kernel_choice.h"
#include "system/boot_listing.h"
#include "system/files.h"
#include "system/kexec.h"
#include "system/log.h"
#include "system/uki.h"

namespace handover::system {
namespace {

constexpr std::uint64_t image_limit_bytes = UINT64_C(1) << 30;

/// As preflight sees it: of a unified image the kernel in it.
std::string identity_of(const std::string& path) {
  auto image = open_kernel(path);
  if (!image) return {};
  if (!take_apart(*image)) return {};
  const auto bytes = read_fd(image->kernel.get(), image_limit_bytes);
  return bytes ? image_identity(*bytes) : std::string();
}

}  // namespace

std::vector<KernelFile> kernel_files(const std::set<std::string>& identify,
                                     const std::string& root) {
  std::vector<KernelFile> files;
  if (auto answers = boot_answers(root); !answers) {
    log::warning("Kernels cannot be listed: ", answers.error().message, ".");
    return files;
  }
  for (auto& installed : installed_kernels(boot_listing(root))) {
    KernelFile file{std::move(installed.path), {std::move(installed.release), {}}};
    if (identify.contains(file.kernel.release)) file.kernel.image = identity_of(file.path);
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace handover::system

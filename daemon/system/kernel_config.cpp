// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/kernel_config.h"

#include <filesystem>
#include <utility>

#include "system/files.h"
#include "system/regular_file.h"

namespace handover::system {

namespace {

/// Distributions' have 300 KiB.
constexpr std::uint64_t config_limit = UINT64_C(4) << 20;

}  // namespace

std::string kernel_config(const std::string& kernel, const std::string& release,
                          const std::string& root) {
  // What an image says of itself leads to no other directory.
  if (release.empty() || release.starts_with('.') || release.find('/') != std::string::npos) {
    return {};
  }
  std::error_code error;
  const auto image = std::filesystem::canonical(kernel, error);
  const auto folder = error ? std::filesystem::path(kernel).parent_path() : image.parent_path();
  const std::filesystem::path modules(root + "/lib/modules");
  for (const auto& path : {folder / ("config-" + release), modules / release / "config"}) {
    const auto fd = open_regular(path.string());
    if (!fd) continue;
    if (auto text = read_fd(fd->get(), config_limit)) return std::move(*text);
  }
  return {};
}

}  // namespace handover::system

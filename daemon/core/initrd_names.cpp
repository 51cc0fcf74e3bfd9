// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/initrd_names.h"

#include <algorithm>

#include "core/kernel_name.h"

namespace handover {
namespace {

struct Place {
  std::string directory;  ///< with its "/"
  std::string file;
};

Place place_of(std::string_view path) {
  const auto file = file_of(path);
  return {std::string(path.substr(0, path.size() - file.size())), std::string(file)};
}

void add_names(const std::string& directory, const std::string& of,
               std::vector<std::string>& paths) {
  if (of.empty()) return;
  const auto add = [&](const std::string& before, const char* ending) {
    auto& path = paths.emplace_back(directory);
    path += before;
    path += of;
    path += ending;
  };
  add("initrd.img-", "");
  add("initramfs-", ".img");
  add("initramfs-", "");
  add("initrd-", "");
  add("initrd-", ".img");
  for (const std::string_view architecture : {"x86_64", "aarch64", "arm64"}) {
    std::string genkernel = "initramfs-genkernel-";
    genkernel += architecture;
    genkernel += '-';
    add(genkernel, ".img");
    add(genkernel, "");
  }
}

}  // namespace

std::vector<std::string> initrd_paths(std::string_view path, std::string_view real,
                                      std::string_view release, std::string_view boot) {
  std::vector<std::string> paths;
  // What an image says of itself leads to no other directory.
  std::string said(release);
  if (said.find('/') != std::string::npos) said.clear();
  for (const auto image : {real, path}) {
    const Place place = place_of(image);
    if (place.file == "linux") paths.push_back(place.directory + "initrd");
    add_names(place.directory, name_of_image(place.file), paths);
    add_names(place.directory, said, paths);
    const auto directory = release_of_directory(image);
    if (!directory.empty()) add_names(place.directory, directory, paths);
    if (place.file == "vmlinuz" && !directory.empty()) {
      add_names(std::string(boot) + "/", directory, paths);
      add_names(std::string(boot) + "/", said, paths);
    }
  }
  // The first mention of each.
  std::vector<std::string> once;
  for (auto& one : paths) {
    if (std::find(once.begin(), once.end(), one) == once.end()) once.push_back(std::move(one));
  }
  return once;
}

}  // namespace handover

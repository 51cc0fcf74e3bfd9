// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/initrd_names.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "boot_trees.h"

namespace handover {
namespace {

/// The first of the names that is in the tree; "" if none is.
std::string initrd_in(const std::string& name, const std::string& kernel,
                      const std::string& release) {
  const auto tree = test::boot_tree(name);
  for (const auto& path : initrd_paths(kernel, test::real_path(tree, kernel), release)) {
    if (!test::real_path(tree, path).empty()) return path;
  }
  return {};
}

TEST(InitrdPaths, AreThoseOfEachDistribution) {
  constexpr const char* debian = "7.3.4-amd64";
  constexpr const char* entry = "b0e793a9baf14b5fa13ecbe84ff637ac";
  struct Case {
    std::string tree, kernel, release, initrd;
  };
  const std::vector<Case> cases = {
      {"alpine", "/boot/vmlinuz-lts", "6.18.1-0-lts", "/boot/initramfs-lts"},
      {"arch", "/boot/vmlinuz-linux", "7.3.4-arch1-1", "/boot/initramfs-linux.img"},
      {"bls", std::string("/boot/") + entry + "/7.3.4-amd64/linux", debian,
       std::string("/boot/") + entry + "/7.3.4-amd64/initrd"},
      {"blsdeb", std::string("/efi/") + entry + "/7.3.4-amd64/linux", debian,
       std::string("/efi/") + entry + "/7.3.4-amd64/initrd.img-7.3.4-amd64"},
      {"deb-abs", "/vmlinuz", debian, "/boot/initrd.img-7.3.4-amd64"},
      {"debian", "/boot/vmlinuz-7.3.4-amd64", debian, "/boot/initrd.img-7.3.4-amd64"},
      {"debian", "/boot/vmlinuz", debian, "/boot/initrd.img-7.3.4-amd64"},
      {"debian", "/vmlinuz", "", "/boot/initrd.img-7.3.4-amd64"},
      // That it is empty is for whoever looks into it.
      {"empty", "/boot/vmlinuz-7.3.4-amd64", debian, "/boot/initrd.img-7.3.4-amd64"},
      {"fedora", "/boot/vmlinuz-7.3.4-200.fc44.x86_64", "7.3.4-200.fc44.x86_64",
       "/boot/initramfs-7.3.4-200.fc44.x86_64.img"},
      {"gentoo", "/boot/kernel-7.3.4-gentoo-dist", "7.3.4-gentoo-dist",
       "/boot/initramfs-7.3.4-gentoo-dist.img"},
      {"mod", "/lib/modules/7.3.4-amd64/vmlinuz", debian, "/boot/initrd.img-7.3.4-amd64"},
      {"rename", "/srv/vmlinuz-test", debian, "/srv/initrd.img-7.3.4-amd64"},
      {"stale", "/boot/vmlinuz-7.3.4-amd64", debian, ""},
      {"suse", "/boot/vmlinuz-7.3.4-1-default", "7.3.4-1-default", "/boot/initrd-7.3.4-1-default"},
      {"suse", "/usr/lib/modules/7.3.4-1-default/vmlinuz", "", "/boot/initrd-7.3.4-1-default"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(initrd_in(one.tree, one.kernel, one.release), one.initrd)
        << one.tree << " " << one.kernel;
  }
}

TEST(InitrdPaths, BelongToWhatALinkPointsTo) {
  const auto paths = initrd_paths("/boot/vmlinuz-newest", "/boot/vmlinuz-6.1", "6.1");
  const auto place = [&](const std::string& path) {
    return std::find(paths.begin(), paths.end(), path) - paths.begin();
  };
  EXPECT_EQ(place("/boot/initrd.img-6.1"), 0);
  EXPECT_LT(place("/boot/initrd.img-6.1"), place("/boot/initrd.img-newest"));
}

TEST(InitrdPaths, LeadToNoOtherDirectory) {
  for (const auto& path : initrd_paths("/boot/bzImage", "/boot/bzImage", "../../etc/x")) {
    ADD_FAILURE() << path;
  }
  for (const auto& path : initrd_paths("bzImage", "bzImage", "7.3")) {
    EXPECT_EQ(path.find('/'), std::string::npos) << path;
  }
  EXPECT_TRUE(initrd_paths("", "", "").empty());
}

TEST(InitrdPaths, AreEachThereOnce) {
  auto paths = initrd_paths("/boot/vmlinuz-7.3", "/boot/vmlinuz-7.3", "7.3");
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(std::adjacent_find(paths.begin(), paths.end()), paths.end());
}

}  // namespace
}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/kernel_name.h"

#include <gtest/gtest.h>

#include <map>

namespace handover {
namespace {

TEST(NameOfImage, IsWhatFollowsThePrefix) {
  const std::map<std::string, std::string> cases = {
      {"vmlinuz-7.3.4-amd64", "7.3.4-amd64"},
      {"kernel-7.3.4-gentoo-dist", "7.3.4-gentoo-dist"},
      {"Image-7.3.4-1-default", "7.3.4-1-default"},
      {"vmlinuz-linux", "linux"},
      {"vmlinuz", ""},
      {"vmlinux-7.3.4", ""},  // an ELF file, which no kernel loads
      {"initrd.img-7.3.4", ""},
      {"config-7.3.4", ""},
      {".vmlinuz-7.3.4.hmac", ""},
      {"System.map-7.3.4", ""},
  };
  for (const auto& [file, name] : cases) EXPECT_EQ(name_of_image(file), name) << file;
}

TEST(IsCompanion, KnowsWhatLiesBesideAnImage) {
  for (const char* file :
       {"vmlinuz-7.3.4.sig", "vmlinuz-7.3.4.efi.signed", "vmlinuz-7.3.4.dpkg-dist",
        "vmlinuz-7.3.4.dpkg-new", "vmlinuz-7.3.4.dpkg-bak", "vmlinuz-7.3.5.rpmnew",
        "vmlinuz-7.3.5.rpmsave", "vmlinuz-7.3.5.ucf-dist", "vmlinuz-7.3.5.tmp", "vmlinuz-7.3.5.new",
        "vmlinuz-7.3.4.old", "vmlinuz.old", "vmlinuz-7.3.4~", ".vmlinuz-7.3.4.hmac",
        "vmlinuz-7.3.4.bak", "vmlinuz-7.3.4.asc", "vmlinuz-7.3.4.hmac"}) {
    EXPECT_TRUE(is_companion(file)) << file;
  }
  for (const char* file : {"vmlinuz-7.3.4", "vmlinuz-7.3.4-amd64", "vmlinuz-linux", "vmlinuz",
                           "vmlinuz-7.3~rc5-amd64", "vmlinuz-6.12.0-55.27.1.el10_0.x86_64"}) {
    EXPECT_FALSE(is_companion(file)) << file;
  }
}

TEST(IsSpecial, KnowsWhatNobodyUpdatesTo) {
  for (const char* name :
       {"0-rescue-9cfb27097d534b729e8b9d642867f0a7", "7.3.4-amd64-kdump", "kdump", "memtest86+"}) {
    EXPECT_TRUE(is_special(name)) << name;
  }
  EXPECT_FALSE(is_special("7.3.4-amd64"));
}

TEST(FlavourOf, LeavesOutWhatChangesWithTheVersion) {
  const std::map<std::string, std::string> cases = {
      {"", ""},
      {"7.3.4", ""},
      {"7.3.0-rc5", ""},
      {"7.3.4-amd64", "amd64"},
      {"6.1.0-9-amd64", "amd64"},
      {"7.3~rc5-amd64", "amd64"},
      {"6.12.9+deb13-amd64", "amd64"},
      {"6.12.9+deb13+1-amd64", "amd64"},
      {"6.5.0-0.deb12.4-amd64", "amd64"},
      {"6.10.6+bpo-amd64", "amd64"},
      {"7.3.4-rt-amd64", "rt-amd64"},
      {"7.3.4-cloud-amd64", "cloud-amd64"},
      {"6.8.0-45-generic", "generic"},
      {"6.8.0-45-lowlatency", "lowlatency"},
      {"7.3.4-200.fc44.x86_64", "fc-x86_64"},
      {"7.4.1-100.fc45.x86_64", "fc-x86_64"},
      {"6.12.0-55.27.1.el10_0.x86_64", "el-x86_64"},
      {"5.14.0-427.el9.x86_64", "el-x86_64"},
      {"6.12.0-55.27.1.el10_0.x86_64+rt", "el-x86_64-rt"},
      {"6.12.0-55.27.1.el10_0.x86_64+rt-debug", "el-x86_64-rt-debug"},
      {"7.3.4-1-default", "default"},
      {"7.3.4-arch1-1", "arch"},
      {"7.3.5-arch2-1", "arch"},
      {"6.18.1-1-lts", "lts"},
      {"7.3.4-gentoo-dist", "gentoo-dist"},
      {"7.3.4-gentoo-r1-dist", "gentoo-dist"},
      {"6.18.33+rpt-rpi-2712", "rpt-rpi"},
      {"6.18.33+rpt-rpi-v8", "rpt-rpi-v8"},
      {"6.18.33+rpt-rpi-v7", "rpt-rpi-v7"},
      {"7.3.0-rc2-next-20260107", "next"},
      {"7.3.0-next-20260901", "next"},
      {"6.18-xen", "xen"},
      {"7.3.4-handover", "handover"},
      {"6.8.0-45-generic-64k", "generic-64k"},
      {"5.15.0-200.131.27.el9uek.x86_64", "eluek-x86_64"},
      {"7.3.5-zen1-1-zen", "zen-zen"},
      {"7.3.6-zen2-1-zen", "zen-zen"},
      {"7.3.5-hardened1-1-hardened", "hardened-hardened"},
      {"7.3.4-rt5", "rt"},
      {"7.3.4-arm64", "arm64"},
      {"6.1.0-9-x64v3-xanmod1", "x64v3-xanmod"},
      {"6.18.0-061800rc3-generic", "generic"},
      {"6.18.0-061800-generic", "generic"},
      {"6.18.0-0.rc4.251107g4a0c9b339199.40.fc44.x86_64", "fc-x86_64"},
      {"7.3.4-00123-gabcdef012345-dirty", ""},
      {"7.3.4-gaming", "gaming"},
  };
  for (const auto& [release, flavour] : cases) EXPECT_EQ(flavour_of(release), flavour) << release;
  // Void's revisions.
  EXPECT_EQ(flavour_of("6.6.14_1"), "");
  EXPECT_EQ(flavour_of("6.7.2_10"), "");
  EXPECT_EQ(flavour_of("6.7.2_rt"), "_rt");
}

TEST(ReleaseOfDirectory, IsThatOfModulesOrOfKernelInstall) {
  EXPECT_EQ(release_of_directory("/lib/modules/7.3.4-amd64/vmlinuz"), "7.3.4-amd64");
  EXPECT_EQ(release_of_directory("/usr/lib/modules/7.3.4/vmlinuz"), "7.3.4");
  EXPECT_EQ(release_of_directory("/efi/b0e793a9baf14b5fa13ecbe84ff637ac/7.3.4-amd64/linux"),
            "7.3.4-amd64");
  EXPECT_EQ(release_of_directory("/efi/b0e7/6.17.5-1-default/linux-1f2e3d"), "6.17.5-1-default");
  for (const char* path : {"/boot/vmlinuz", "/boot/linux", "/lib/modules/build/vmlinuz", "vmlinuz",
                           "/7.3.4/linux", "/lib/modules/7.3.4/other", ""}) {
    EXPECT_EQ(release_of_directory(path), "") << path;
  }
}

}  // namespace
}  // namespace handover

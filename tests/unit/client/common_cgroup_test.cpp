// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "common/cgroup.h"

namespace handover::common {
namespace {

TEST(CgroupFiles, PathOfVersion2) {
  EXPECT_EQ(cgroup_path("0::/system.slice/x.service\n"), "/system.slice/x.service");
  EXPECT_EQ(cgroup_path("9:name=systemd:/\n4:memory:/a\n0::/\n"), "/");
  EXPECT_EQ(cgroup_path("4:memory:/a\n"), "");
  EXPECT_EQ(cgroup_path(""), "");
}

TEST(CgroupFiles, MountOfVersion2) {
  constexpr const char* unified =
      "24 1 0:22 / /proc rw - proc proc rw\n"
      "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
  constexpr const char* hybrid =
      "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
  EXPECT_EQ(cgroup_mount(unified), "/sys/fs/cgroup");
  EXPECT_EQ(cgroup_mount(hybrid), "/sys/fs/cgroup/unified");
  EXPECT_EQ(cgroup_mount("24 1 0:22 / /proc rw - proc proc rw\n"), "");
  EXPECT_EQ(cgroup_mount("garbage\n\n - cgroup\n"), "");
}

}  // namespace
}  // namespace handover::common

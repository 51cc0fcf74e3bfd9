// SPDX-License-Identifier: LGPL-2.1-or-later
// Which file systems are local, and how the daemon gets past those that hang.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "support/temporary_directory.h"
#include "system/sync.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;

namespace {

constexpr std::uint64_t second = 1'000'000;

std::vector<std::string> paths(const std::vector<FileSystem>& file_systems) {
  std::vector<std::string> all;
  for (const FileSystem& one : file_systems) {
    all.insert(all.end(), one.mount_points.begin(), one.mount_points.end());
  }
  return all;
}

TEST(LocalFileSystems, AreThoseOnDisksEachOnce) {
  const auto found = local_file_systems(
      "21 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n"
      "22 21 0:20 / /proc rw shared:2 - proc proc rw\n"
      "23 21 0:21 / /run rw - tmpfs tmpfs rw,size=1g\n"
      "24 21 8:1 / /boot/efi rw master:3 propagate_from:2 - vfat /dev/sda1 rw,fmask=0077\n"
      "25 21 0:40 / /srv/nfs rw - nfs4 server:/srv rw\n"
      "26 21 0:41 / /home/u/gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw\n"
      "27 21 8:17 / /media/stick rw - fuseblk /dev/sdb1 rw\n"
      "28 21 0:42 / /srv/cifs rw - cifs //server/share rw\n"
      "29 21 0:43 /@home /home rw - btrfs /dev/sda3 rw,subvol=/@home\n"
      "30 21 0:43 /@var /var rw - btrfs /dev/sda3 rw,subvol=/@var\n"
      "31 21 8:2 /srv/a /srv/bind ro,relatime - ext4 /dev/sda2 rw\n"
      "32 21 259:1 / /srv/with\\040blank rw - xfs /dev/nvme0n1p1 rw\n"
      "33 21 11:0 / /media/cd ro - iso9660 /dev/sr0 ro\n"
      "34 21 7:0 / /srv/loop rw - ext4 /dev/loop0 rw\n"
      "35 21 0:44 / /var/lib/overlay rw - overlay overlay rw,lowerdir=/a\n"
      "36 21 0:45 / /srv/9p rw - 9p host rw\n"
      "garbage\n"
      "37 21 8:33 / /cut rw\n");
  EXPECT_EQ(found, (std::vector<FileSystem>{{"7:0", {"/srv/loop"}},
                                            {"8:2", {"/", "/srv/bind"}},
                                            {"8:1", {"/boot/efi"}},
                                            {"0:43", {"/home", "/var"}},
                                            {"259:1", {"/srv/with blank"}}}));
}

TEST(LocalFileSystems, AreReachedWhereNothingHidesThem) {
  const auto found = local_file_systems(
      "21 1 8:2 / / rw - ext4 /dev/sda2 rw\n"
      "22 21 8:3 / /mnt rw - ext4 /dev/sda3 rw\n"
      "23 22 0:50 / /mnt rw - nfs4 dead:/srv rw\n"       // on top of it
      "24 21 8:3 / /srv/again rw - ext4 /dev/sda3 rw\n"  // the same, where it can be seen
      "25 21 8:4 / /data/disk rw - xfs /dev/sda4 rw\n"
      "26 21 0:51 / /data rw - nfs4 dead:/srv rw\n"  // over the way to it
      "27 25 8:5 / /data/disk/below rw - xfs /dev/sda5 rw\n"
      "28 21 8:6 / /data2 rw - xfs /dev/sda6 rw\n");
  EXPECT_EQ(paths(found), (std::vector<std::string>{"/", "/srv/again", "/data2"}));
}

TEST(LocalFileSystems, OfThisMachineCanBeListed) {
  std::ifstream file("/proc/self/mountinfo");
  std::stringstream text;
  text << file.rdbuf();
  std::set<std::string> devices;
  for (const FileSystem& one : local_file_systems(text.str())) {
    EXPECT_TRUE(devices.insert(one.device).second) << one.device;
    EXPECT_FALSE(one.mount_points.empty());
  }
}

/// Mount points /1, /2, … on disks of their own.
std::string disks(int count) {
  std::string text = "1 0 0:1 / / rw - rootfs rootfs rw\n";
  for (int i = 1; i <= count; ++i) {
    const std::string n = std::to_string(i);
    text += std::to_string(i + 10) + " 1 8:" + n + " / /" + n + " rw - ext4 /dev/sda" + n + " rw\n";
  }
  return text;
}

int hang_on_the_second(const char* path) {
  while (::strcmp(path, "/2") == 0) ::pause();
  return ::strcmp(path, "/3") == 0 ? -EIO : 0;
}

TEST(Sync, SaysWhichDidNotEndAndWhichFailed) {
  const auto report = sync_file_systems(5 * second, disks(4), hang_on_the_second);
  EXPECT_EQ(report.synced, 2U);
  EXPECT_EQ(report.unsynced, (std::vector<Unsynced>{{"/3", EIO}, {"/2", ETIMEDOUT}}));
  EXPECT_GE(report.usec, 5 * second);
  EXPECT_LT(report.usec, 30 * second);
}

TEST(Sync, DoesManyAtTheSameTime) {
  const auto slow = [](const char*) {
    ::usleep(20'000);
    return 0;
  };
  const auto report = sync_file_systems(60 * second, disks(40), slow);
  EXPECT_EQ(report.synced, 40U);
  EXPECT_TRUE(report.unsynced.empty());
  EXPECT_GE(report.usec, 100'000U) << "but not all";
}

TEST(Sync, HangingLoopDevicesLeaveTimeForTheOthers) {
  const auto hang_on_loops = [](const char* path) {
    while (::strncmp(path, "/loop", 5) == 0) ::pause();
    return 0;
  };
  const auto report = sync_file_systems(
      10 * second, "9 1 7:0 / /loop rw - ext4 /dev/loop0 rw\n" + disks(3), hang_on_loops);
  EXPECT_EQ(report.synced, 3U);
  EXPECT_EQ(report.unsynced, (std::vector<Unsynced>{{"/loop", ETIMEDOUT}}));
}

TEST(Sync, WithoutAnyTimeNothingIsClaimed) {
  const auto hang = [](const char*) -> int {
    for (;;) ::pause();
  };
  const auto report = sync_file_systems(0, disks(20), hang);
  EXPECT_EQ(report.synced, 0U);
  EXPECT_EQ(report.unsynced.size(), 20U);
}

TEST(Sync, TriesAllMountPointsAndThenTheWholeMachine) {
  const auto only_the_second_mount = [](const char* path) {
    return ::strcmp(path, "/b") == 0 ? 0 : -EACCES;
  };
  const std::string two_mounts =
      "11 1 8:1 / /a rw - ext4 /dev/sda1 rw\n12 1 8:1 / /b rw - ext4 /dev/sda1 rw\n";
  EXPECT_EQ(sync_file_systems(60 * second, two_mounts, only_the_second_mount).synced, 1U);

  const auto only_all = [](const char* path) { return path[0] == '\0' ? 0 : -EACCES; };
  EXPECT_EQ(sync_file_systems(60 * second, two_mounts, only_all).synced, 1U);
  const auto nothing = [](const char* path) { return path[0] == '\0' ? -EIO : -EACCES; };
  const auto report = sync_file_systems(60 * second, two_mounts, nothing);
  EXPECT_EQ(report.synced, 0U);
  EXPECT_EQ(report.unsynced, (std::vector<Unsynced>{{"/a", EACCES}}));
}

TEST(Sync, SaysSoWhereNoMountIsKnown) {
  const auto done = [](const char* path) { return path[0] == '\0' ? 0 : -EIO; };
  EXPECT_TRUE(sync_file_systems(60 * second, "", done).unsynced.empty());
  const auto fails = [](const char*) { return -ENOMEM; };
  EXPECT_EQ(sync_file_systems(60 * second, "", fails).unsynced,
            (std::vector<Unsynced>{{"/", ENOMEM}}));
}

TEST(Sync, IsToldWithTheReason) {
  EXPECT_EQ(to_text({"/mnt", EIO}), "/mnt (Input/output error)");
  EXPECT_EQ(to_text({"/mnt", ETIMEDOUT}), "/mnt (not in time)");
}

TEST(Sync, LeavesNoDescriptorOfTheDaemonsBehind) {
  static int open_descriptor = -1;
  const TemporaryDirectory directory;
  open_descriptor = ::open(directory.path().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(open_descriptor, 0);
  const auto look = [](const char*) {
    return ::fcntl(open_descriptor, F_GETFD) < 0 && errno == EBADF ? 0 : -EBUSY;
  };
  EXPECT_EQ(sync_file_systems(60 * second, disks(1), look).synced, 1U);
  ::close(open_descriptor);
}

TEST(Sync, SyncsThisMachine) {
  const auto report = sync_file_systems(200 * second);
  for (const auto& [mount_point, sys_errno] : report.unsynced) {
    EXPECT_EQ(sys_errno, 0) << mount_point;
  }
  EXPECT_LT(report.usec, 200 * second);
}

}  // namespace
}  // namespace handover::system::test

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "common/wait_for.h"

namespace handover::common {
namespace {

using Kind = WaitFor::Kind;

TEST(WaitFor, WhatCanBeWaitedFor) {
  const std::pair<const char*, WaitFor> good[] = {
      {"/srv/db.img", {Kind::path, "/srv/db.img"}},
      {"/a:b", {Kind::path, "/a:b"}},
      {"path:/srv/db.img", {Kind::path, "/srv/db.img"}},
      {"writable:/var/log", {Kind::writable, "/var/log"}},
      {"device:/dev/kvm", {Kind::device, "/dev/kvm"}},
      {"link:br0", {Kind::link, "br0"}},
      {"link:enp0s31f6.1234", {Kind::link, "enp0s31f6.1234"}},
      {"mount:/srv", {Kind::mount, "/srv"}},
      {"mount:/srv//", {Kind::mount, "/srv"}},
      {"mount:/", {Kind::mount, "/"}},
  };
  for (const auto& [text, wanted] : good) {
    auto parsed = parse_wait_for(std::string_view(text));
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, wanted) << text;
  }
}

TEST(WaitFor, WhatCannot) {
  for (const char* text : {"", "srv/db.img", "path:", "path:srv", "writable:var", "device:kvm",
                           "mount:", "link:", "link:a/b", "link:sixteen-bytes-xx", "file:/srv",
                           ":/srv", "Path:/srv", "kvm"}) {
    auto parsed = parse_wait_for(std::string_view(text));
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find("'" + std::string(text) + "'"), std::string::npos)
        << parsed.error().message;
  }
  EXPECT_FALSE(parse_wait_for(std::string_view("/a\0b", 4)));
}

TEST(WaitFor, TheFirstWrongOneOfAListIsNamed) {
  auto parsed = parse_wait_for(std::vector<std::string>{"/a", "b", "c"});
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().message.find("'b'"), std::string::npos);
  auto good = parse_wait_for(std::vector<std::string>{"/a", "link:lo"});
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, (std::vector<WaitFor>{{Kind::path, "/a"}, {Kind::link, "lo"}}));
}

TEST(WaitFor, MissingIsSaidInWords) {
  EXPECT_EQ(missing({Kind::path, "/a"}, {0, false}), "");
  EXPECT_EQ(missing({Kind::path, "/a"}, {ENOENT, false}), "/a is not there");
  EXPECT_EQ(missing({Kind::path, "/a/b"}, {ENOTDIR, false}), "/a/b is not there");
  EXPECT_EQ(missing({Kind::path, "/a"}, {EIO, false}), "/a cannot be reached: Input/output error");
  EXPECT_EQ(missing({Kind::writable, "/var/log"}, {0, false}), "");
  EXPECT_EQ(missing({Kind::writable, "/var/log"}, {ENOENT, false}), "/var/log is not there");
  EXPECT_EQ(missing({Kind::writable, "/var/log"}, {EROFS, false}),
            "/var/log cannot be written: Read-only file system");
  EXPECT_EQ(missing({Kind::device, "/dev/kvm"}, {0, true}), "");
  EXPECT_EQ(missing({Kind::device, "/dev/kvm"}, {0, false}), "/dev/kvm is no device");
  EXPECT_EQ(missing({Kind::device, "/dev/kvm"}, {ENOENT, false}),
            "the device /dev/kvm is not there");
  EXPECT_EQ(missing({Kind::device, "/dev/kvm"}, {EACCES, false}),
            "the device /dev/kvm cannot be reached: Permission denied");
  EXPECT_EQ(missing({Kind::link, "br0"}, {0, false}), "");
  EXPECT_EQ(missing({Kind::link, "br0"}, {ENODEV, false}), "the network link br0 is not there");
  EXPECT_EQ(missing({Kind::link, "br0"}, {EMFILE, false}),
            "the network link br0 cannot be looked for: Too many open files");
  EXPECT_EQ(missing({Kind::mount, "/srv"}, {0, false}), "");
  EXPECT_EQ(missing({Kind::mount, "/srv"}, {ENOENT, false}), "nothing is mounted on /srv");
  EXPECT_EQ(missing({Kind::mount, "/srv"}, {EACCES, false}),
            "the mounts cannot be looked at: Permission denied");
}

TEST(WaitFor, MountPointsOfMountinfo) {
  constexpr const char* mountinfo =
      "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
      "30 24 0:26 / /srv rw shared:4 - autofs systemd-1 rw,fd=44\n"
      "31 24 8:3 / /mnt/my\\040disk rw - ext4 /dev/sdb1 rw\n"
      "32 24 8:4 /sub /back\\134slash ro - xfs /dev/sdc1 ro\n"
      "garbage\n";
  EXPECT_TRUE(is_mount_point(mountinfo, "/"));
  EXPECT_TRUE(is_mount_point(mountinfo, "/mnt/my disk"));
  EXPECT_TRUE(is_mount_point(mountinfo, "/back\\slash"));
  EXPECT_FALSE(is_mount_point(mountinfo, "/mnt"));
  EXPECT_FALSE(is_mount_point(mountinfo, "/srv")) << "it only waits to be mounted";
  EXPECT_FALSE(is_mount_point("", "/"));
  const std::string mounted = std::string(mountinfo) + "33 30 8:5 / /srv rw - ext4 /dev/sdd rw";
  EXPECT_TRUE(is_mount_point(mounted, "/srv"));
}

TEST(WaitFor, LooksAtTheSystem) {
  std::string directory = "/tmp/handover-wait-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const auto path = directory + "/x";
  EXPECT_EQ(look_at({Kind::path, path}).error, ENOENT);
  EXPECT_EQ(what_is_missing({{Kind::path, path}, {Kind::path, directory}}),
            "What is waited for is missing: " + path + " is not there.");
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  close(fd);
  EXPECT_EQ(what_is_missing({{Kind::path, path},
                             {Kind::writable, path},
                             {Kind::device, "/dev/null"},
                             {Kind::mount, "/proc"}}),
            "");
  EXPECT_EQ(what_is_missing({{Kind::device, path}, {Kind::link, "no-such-link"}}),
            "What is waited for is missing: " + path +
                " is no device; the network link no-such-link is not there.");
  EXPECT_EQ(look_at({Kind::mount, directory}).error, ENOENT);
  unlink(path.c_str());
  rmdir(directory.c_str());
}

}  // namespace
}  // namespace handover::common

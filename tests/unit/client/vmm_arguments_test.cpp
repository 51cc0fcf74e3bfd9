// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <algorithm>

#include "vmm/argument_list.h"
#include "vmm/arguments.h"

namespace handover::vmm {
namespace {

TEST(VmmArguments, WhatIsOursIsRefused) {
  const std::vector<std::vector<std::string>> cases = {
      {"-m", "1G"},
      {"--m", "1G"},
      {"-mem-path", "/dev/hugepages"},
      {"-mem-prealloc"},
      {"-incoming", "tcp:0:4444"},
      {"-loadvm", "x"},
      {"-S"},
      {"--S"},
      {"-preconfig"},
      {"-daemonize"},
      {"-readconfig", "file"},
      {"-machine", "q35,memory-backend=mine"},
      {"-M", "memory-backend=mine"},
      {"-object", "memory-backend-ram,id=x,size=1G"},
      {"-object", R"({"qom-type": "memory-backend-memfd", "id": "x"})"},
      {"-numa", "node,memdev=x"},
      {"-numa", "node,mem=512"},
      {"-chardev", "socket,id=handover-qmp,path=/x"},
      {"-device", "pc-dimm,memdev=handover-ram"},
      {"-nodefaults", "-S"},
      {"disk.img", "-S"},
      {"-smp", "2", "-S"},
      {"-snapshot"},
      {"--snapshot"},
      {"-drive", "file=a.img,snapshot=on"},
      {"-drive", "snapshot=yes,file=a.img"},
      {"-drive", "file=a.img,snapshot"},
      {"-drive", "file=a.img,snapshot=off,snapshot=on"},
      {"-drive", "file=a.img,id=d", "-set", "drive.d.snapshot=on"},
  };
  for (const auto& arguments : cases) {
    auto checked = check_arguments(arguments);
    EXPECT_FALSE(checked) << arguments.front();
    if (!checked) {
      EXPECT_EQ(checked.error().message.find('\n'), std::string::npos);
    }
  }
}

TEST(VmmArguments, AllElseIsLeftAlone) {
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"-machine", "q35,hmat=off", "-smp", "4"},
      {"-append", "-S"},
      {"-append", "-m"},
      {"-name", "-incoming"},
      {"-qmp", "unix:/run/mine,server=on,wait=off"},
      {"-numa", "node,cpus=0-1"},
      {"-object", "rng-random,id=r"},
      {"-monitor", "none", "-nographic", "-no-shutdown"},
      {"-drive", "file=a.img,snapshot=off"},
      {"-drive", "file=a,,snapshot=on"},
      {"-drive", "file=snapshot=on"},
      {"-append", "-snapshot"},
      {"-smp"},
      {"disk.img"},
      {"-"},
      {""},
  };
  for (const auto& arguments : cases) {
    auto checked = check_arguments(arguments);
    EXPECT_TRUE(checked) << checked.error().message;
  }
}

TEST(VmmArguments, ASnapshotIsRefusedForWhatIsLost) {
  auto checked = check_arguments({"-nodefaults", "-snapshot"});
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message.find("'-snapshot'"), std::string::npos);
  EXPECT_NE(checked.error().message.find("put the disk back"), std::string::npos);
}

TEST(VmmArguments, Splitting) {
  EXPECT_EQ(split_arguments({"-S", "disk.img", "--name", "-x", "-"}),
            (std::vector<Argument>{{"S", ""}, {"", "disk.img"}, {"name", "-x"}, {"", "-"}}));
  EXPECT_EQ(split_arguments({"-smp"}), (std::vector<Argument>{{"smp", ""}}));

  const auto list = split_value("tap,file=a,,b=c,ro,x=,x=2,y=off");
  EXPECT_EQ(list.front(), (std::pair<std::string, std::string>("", "tap")));
  EXPECT_EQ(value_of(list, ""), "tap");
  EXPECT_EQ(value_of(list, "file"), "a,b=c");
  EXPECT_EQ(value_of(list, "x"), "2");
  EXPECT_EQ(value_of(list, "z"), "");
  EXPECT_EQ(value_of(list, "ro"), "");
  EXPECT_TRUE(is_on(list, "ro"));
  EXPECT_TRUE(is_on(list, "tap"));
  EXPECT_FALSE(is_on(list, "y"));
  EXPECT_FALSE(is_on(list, "z"));
  EXPECT_TRUE(split_value("").empty());
}

TEST(VmmArguments, TheCommandLine) {
  Launch launch{"qemu", {"-machine", "q35"}, UINT64_C(3) << 30, 3, 4, false};
  const auto line = command_line(launch);
  const std::vector<std::string> expected = {
      "qemu",
      "-machine",
      "q35",
      "-m",
      "3072M",
      "-object",
      "memory-backend-file,id=handover-ram,size=3072M,mem-path=/proc/self/fd/3,share=on",
      "-machine",
      "memory-backend=handover-ram",
      "-chardev",
      "socket,id=handover-qmp,fd=4",
      "-qmp",
      "chardev:handover-qmp"};
  EXPECT_EQ(line, expected);
  launch.incoming = true;
  const auto incoming = command_line(launch);
  ASSERT_EQ(incoming.size(), line.size() + 2);
  EXPECT_TRUE(std::equal(line.begin(), line.end(), incoming.begin()));
  EXPECT_EQ(incoming.back(), "defer");
}

}  // namespace
}  // namespace handover::vmm

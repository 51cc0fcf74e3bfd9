// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <algorithm>

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
      {"-monitor", "none", "-nographic", "-snapshot"},
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
      "-mon",
      "chardev=handover-qmp,mode=control"};
  EXPECT_EQ(line, expected);
  launch.incoming = true;
  const auto incoming = command_line(launch);
  ASSERT_EQ(incoming.size(), line.size() + 2);
  EXPECT_TRUE(std::equal(line.begin(), line.end(), incoming.begin()));
  EXPECT_EQ(incoming.back(), "defer");
}

}  // namespace
}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <unistd.h>

#include "vmm/replacement.h"

namespace handover::vmm {
namespace {

TEST(VmmReplacement, StandsBesideTheOldOne) {
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"-display", "none", "-nodefaults", "-drive", "file=db.img,if=virtio"},
      {"-nic", "user", "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"},
      {"-chardev", "file,id=s,path=log", "-serial", "chardev:s"},
      {"-nic", "none", "-chardev", "socket,id=c,path=x,server=off,reconnect=1"}};
  for (const auto& arguments : cases) {
    EXPECT_TRUE(can_stand_beside(arguments)) << testing::PrintToString(arguments);
  }
}

TEST(VmmReplacement, EndsTheOldOneFirst) {
  const std::vector<std::vector<std::string>> cases = {
      {"-qmp", "unix:own.qmp,server=on,wait=off"},
      {"-serial", "tcp::4444,server,nowait"},
      {"-monitor", "telnet:127.0.0.1:4444"},
      {"-chardev", "socket,id=c,path=agent,server=on,wait=off"},
      {"-chardev", "socket,id=c,path=helper"},
      {"-netdev", "tap,id=n,ifname=tap0,script=no"},
      {"-netdev", "user,id=n,hostfwd=tcp::2222-:22"},
      {"-nic", "bridge,br=br0"},
      {"-net", "tap"},
      {"-vnc", ":1"},
      {"-display", "vnc=:1"},
      {"-spice", "port=5900"},
      {"-gdb", "tcp::1234"},
      {"-s"},
      {"-pidfile", "x"},
      {"-device", "vhost-vsock-pci,guest-cid=3"},
      {"-device", "usb-host,vendorid=1"}};
  for (const auto& arguments : cases) {
    EXPECT_FALSE(can_stand_beside(arguments)) << testing::PrintToString(arguments);
  }
}

TEST(VmmReplacement, TriesAProgram) {
  EXPECT_TRUE(try_program("/bin/true", nullptr));
  EXPECT_FALSE(try_program("/bin/false", nullptr));
  const auto missing = try_program("/nonexistent", nullptr);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("/nonexistent"), std::string::npos);
}

TEST(VmmReplacement, FindsTheProgramOfAProcess) {
  auto program = program_of(::getpid());
  ASSERT_TRUE(program);
  EXPECT_EQ(::access(path_of(*program).c_str(), X_OK), 0);
  EXPECT_FALSE(program_of(0x7fffffff));
}

}  // namespace
}  // namespace handover::vmm

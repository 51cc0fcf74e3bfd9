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
      {"-chardev", "file,id=s,path=log,append=on", "-serial", "chardev:s"},
      {"-drive", "file:db.img", "file:db.img"},
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
      {"-chardev", "file,id=s,path=log"},
      {"-serial", "file:log"},
      {"-device", "vhost-vsock-pci,guest-cid=3"},
      {"-device", "usb-host,vendorid=1"}};
  for (const auto& arguments : cases) {
    EXPECT_FALSE(can_stand_beside(arguments)) << testing::PrintToString(arguments);
  }
}

TEST(VmmReplacement, NamesWhatAnotherOneMightNotGet) {
  const std::vector<std::vector<std::string>> cases = {
      {"-drive", "file=nbd://host/export,if=virtio"},
      {"-drive", "driver=raw,file.driver=nbd,file.host=h"},
      {"-drive", R"(file=json:{"driver":"nbd"})"},
      {"-blockdev", "driver=nbd,node-name=n,server.type=unix"},
      {"-blockdev", R"({"driver":"raw","file":{"driver":"nbd"}})"},
      {"-hda", "nbd:host:10809"},
      {"-chardev", "socket,id=c,host=logger,port=4444"},
      {"-serial", "tcp:logger:4444"},
      {"-netdev", "socket,id=n,connect=host:1234"},
      {"-netdev", "stream,id=n,server=off,addr.type=inet,addr.host=h,addr.port=1"},
      {"-chardev", "socket,id=c,host=logger,port=4444,reconnect=0"},
      {"-net", "socket,connect=other:1234"},
      {"-pflash", "nbd:backup:10809"},
      {"-drive", "driver=qcow2,file.file.driver=nbd,file.file.host=backup"},
      {"-blockdev",
       R"({"driver":"quorum","node-name":"q","children":[{"driver":"nbd","host":"backup"}]})"},
      {"-chardev", "socket,id=c,path=/no/such/socket"}};
  for (const auto& arguments : cases) {
    const auto named = only_one_can_have(arguments, "/", false);
    const bool socket = arguments[1].find("/no/such") != std::string::npos;
    EXPECT_NE(named.find(socket ? "/no/such/socket" : arguments[0] + " " + arguments[1]),
              std::string::npos)
        << named << testing::PrintToString(arguments);
  }
}

TEST(VmmReplacement, NamesNothingThatAnotherOneGets) {
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"-drive", "file=db.img,if=virtio", "-hda", "nbd.img"},
      {"-chardev", "socket,id=c,host=logger,port=4444,reconnect=1"},
      {"-chardev", "socket,id=c,host=localhost,port=4444,server=on,wait=off"},
      {"-serial", "tcp::4444,server,nowait"},
      {"-chardev", "socket,id=c,path=/no/such/socket,reconnect=1"},
      {"-netdev", "tap,id=n,ifname=tap0,script=no"}};
  for (const auto& arguments : cases) {
    EXPECT_EQ(only_one_can_have(arguments, "/", false), "") << testing::PrintToString(arguments);
  }
  // Those of our own helpers come back with them.
  EXPECT_EQ(only_one_can_have({"-chardev", "socket,id=c,path=/no/such/socket"}, "/", true), "");
}

TEST(VmmReplacement, TriesAProgram) {
  EXPECT_TRUE(try_program("/bin/true", nullptr));
  EXPECT_FALSE(try_program("/bin/false", nullptr));
  const auto missing = try_program("/nonexistent", nullptr);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("/nonexistent"), std::string::npos);
}

}  // namespace
}  // namespace handover::vmm

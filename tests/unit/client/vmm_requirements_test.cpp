// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "vmm/requirements.h"

namespace handover::vmm {
namespace {

using Arguments = std::vector<std::string>;

std::vector<std::string> needed(const Arguments& arguments) {
  std::vector<std::string> texts;
  for (const auto& one : requirements_of(arguments, "/here")) texts.push_back(to_text(one));
  return texts;
}

TEST(VmmRequirements, OfEachArgument) {
  const std::pair<Arguments, Arguments> cases[] = {
      {{}, {}},
      {{"-drive", "file=/srv/db.img,if=virtio"}, {"writable:/srv/db.img"}},
      {{"-drive", "file=db.img,if=virtio"}, {"writable:/here/db.img"}},
      {{"-drive", "file=a,,b.img"}, {"writable:/here/a,b.img"}},
      {{"-drive", "file=/a.img,readonly=on"}, {"path:/a.img"}},
      {{"-drive", "if=none,id=cd0,media=cdrom,file=/a.iso"}, {"path:/a.iso"}},
      {{"-drive", "if=none,id=cd0,media=cdrom"}, {}},
      {{"-drive", "file=nbd://host/x"}, {}},
      {{"-drive", "file=rbd:pool/image"}, {}},
      {{"-drive", "file=json:{}"}, {}},
      {{"-drive", "file=file:/a.img"}, {"writable:/a.img"}},
      {{"-drive", "file=/with:colon.img"}, {"writable:/with:colon.img"}},
      {{"-drive", "file.driver=file,file.filename=/a.img,driver=raw"}, {"writable:/a.img"}},
      {{"-blockdev", "driver=file,node-name=f,filename=/a.img"}, {"writable:/a.img"}},
      {{"-blockdev", "driver=file,node-name=f,filename=/a.img,read-only=on"}, {"path:/a.img"}},
      {{"-blockdev", R"({"driver":"qcow2","file":{"driver":"file","filename":"/a"},
                        "backing":{"driver":"file","filename":"/b"}})"},
       {"path:/b", "writable:/a"}},
      {{"-blockdev", R"({"driver":"file","filename":"/a","read-only":true})"}, {"path:/a"}},
      {{"-hda", "/a.img", "-cdrom", "/b.iso"}, {"writable:/a.img", "path:/b.iso"}},
      {{"/a.img"}, {"writable:/a.img"}},
      {{"-kernel", "/k", "-initrd", "/i", "-append", "x=/y"}, {"path:/k", "path:/i"}},
      {{"-bios", "bios.bin"}, {}},
      {{"-bios", "/bios.bin"}, {"path:/bios.bin"}},
      {{"-enable-kvm"}, {"device:/dev/kvm"}},
      {{"-accel", "kvm"}, {"device:/dev/kvm"}},
      {{"-accel", "tcg", "-accel", "kvm"}, {}},
      {{"-machine", "q35,accel=kvm:tcg"}, {"device:/dev/kvm"}},
      {{"-machine", "q35,accel=tcg:kvm"}, {}},
      {{"-machine", "q35"}, {}},
      {{"-netdev", "tap,id=n,ifname=tap7,script=no,downscript=no,vhost=on"},
       {"device:/dev/net/tun", "link:tap7", "device:/dev/vhost-net"}},
      {{"-netdev", "tap,id=n,ifname=tap7"}, {"device:/dev/net/tun"}},
      {{"-netdev", "tap,id=n,br=br7,helper=/x"}, {"device:/dev/net/tun", "link:br7"}},
      {{"-netdev", "tap,id=n,fd=7"}, {}},
      {{"-netdev", "bridge,id=n"}, {"link:br0", "device:/dev/net/tun"}},
      {{"-nic", "bridge,br=br7"}, {"link:br7", "device:/dev/net/tun"}},
      {{"-netdev", "user,id=n"}, {}},
      {{"-device", "vhost-vsock-pci,guest-cid=7"}, {"device:/dev/vhost-vsock"}},
      {{"-device", "driver=vhost-vsock-pci,guest-cid=7"}, {"device:/dev/vhost-vsock"}},
      {{"-device", "vhost-vsock-pci,guest-cid=7,vhostfd=7"}, {}},
      {{"-device", "vhost-scsi-pci,wwpn=naa.1"}, {"device:/dev/vhost-scsi"}},
      {{"-device", "vhost-user-scsi-pci,chardev=c"}, {}},
      {{"-netdev", "vhost-vdpa,id=n,vhostdev=/dev/vhost-vdpa-0"}, {"device:/dev/vhost-vdpa-0"}},
      {{"-netdev", "type=vhost-vdpa,id=n,vhostdev=/dev/vhost-vdpa-0"},
       {"device:/dev/vhost-vdpa-0"}},
      {{"-netdev", "vhost-vdpa,id=n,vhostfd=7"}, {}},
      {{"-device", "vhost-vdpa-device-pci,vhostdev=/dev/vhost-vdpa-1"},
       {"device:/dev/vhost-vdpa-1"}},
      {{"-drive", "file=/a.img", "-drive", "file=/a.img"}, {"writable:/a.img"}},
  };
  for (const auto& [arguments, expected] : cases) {
    EXPECT_EQ(needed(arguments), expected) << (arguments.empty() ? "" : arguments.back());
  }
}

TEST(VmmRequirements, SocketsOfHelpers) {
  const Arguments arguments = {
      "-chardev", "socket,id=a,path=/run/tpm",
      "-chardev", "socket,id=b,path=fs.sock",
      "-chardev", "socket,id=c,path=/own,server=on,wait=off",
      "-chardev", "socket,id=d,path=/later,reconnect=1",
      "-chardev", "socket,id=e,host=localhost,port=7",
      "-chardev", "file,id=f,path=/log",
      "-netdev",  "stream,id=n,server=off,addr.type=unix,addr.path=/passt"};
  EXPECT_EQ(sockets_of(arguments, "/here"), (Arguments{"/run/tpm", "/here/fs.sock", "/passt"}));
  EXPECT_EQ(sockets_of(arguments, "/here", Sockets::all),
            (Arguments{"/run/tpm", "/here/fs.sock", "/later", "/passt"}));
}

TEST(VmmRequirements, WhatIsNotThereNowIsNotWaitedFor) {
  using Kind = common::WaitFor::Kind;
  const auto there = present({{Kind::path, "/proc/self/stat"},
                              {Kind::path, "/no/such/file"},
                              {Kind::link, "nosuchlink"},
                              {Kind::device, "/dev/null"},
                              {Kind::mount, "/proc"}});
  EXPECT_EQ(there, (std::vector<common::WaitFor>{{Kind::path, "/proc/self/stat"},
                                                 {Kind::device, "/dev/null"},
                                                 {Kind::mount, "/proc"}}));
}

TEST(VmmRequirements, TextComesBack) {
  for (const char* text : {"path:/a", "writable:/b", "device:/c", "link:d", "mount:/e"}) {
    auto parsed = common::parse_wait_for(text);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(to_text(*parsed), text);
  }
}

}  // namespace
}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
// The host as preflight sees it, in made-up /proc, /sys and /etc.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "core/unique_fd.h"
#include "support/temporary_directory.h"
#include "system/crypt_volumes.h"
#include "system/host_facts.h"
#include "system/memory_blocks.h"
#include "system/package_locks.h"
#include "system/room_facts.h"

namespace handover::system::test {
namespace {

using handover::test::TemporaryDirectory;
using namespace std::string_literals;

TEST(HostFacts, AreEmptyWhereThereIsNothing) {
  const TemporaryDirectory root;
  const auto facts = host_facts("", {}, root.path());
  EXPECT_FALSE(facts.denied);
  EXPECT_TRUE(facts.deny_problems.empty());
  EXPECT_TRUE(facts.package_locks.empty());
  EXPECT_TRUE(facts.locked_volumes.empty());
  EXPECT_TRUE(facts.network_mounts.empty());
  EXPECT_EQ(facts.lockdown, Lockdown::none);
  EXPECT_FALSE(facts.secure_boot);
  EXPECT_FALSE(facts.modules_must_be_signed);
  EXPECT_TRUE(facts.swaps.empty());
  EXPECT_EQ(facts.resume_device, "");
  EXPECT_EQ(facts.clocksource, "");
  EXPECT_EQ(facts.hot_added_bytes, 0U);
  EXPECT_EQ(facts.uptime_usec, 0U);
  EXPECT_TRUE(facts.liveupdate_holders.empty());
}

TEST(HostFacts, AreReadFromTheirFiles) {
  const TemporaryDirectory root;
  root.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
  root.write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
             "\x06\0\0\0\x01"s);
  root.write("sys/module/module/parameters/sig_enforce", "Y\n");
  root.write("sys/devices/system/cpu/cpu0/microcode/version", "0xf0\n");
  root.write("proc/uptime", "12.50 20.00\n");
  root.write("proc/swaps", "Filename\tType\tSize\n/dev/zram0 partition 100 0 -2\n");
  root.write("proc/self/mountinfo",
             "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / /home rw - nfs4 host:/home rw\n"
             "31 22 0:41 / /x rw - tmpfs tmpfs rw\n32 22 0:42 / /y rw - fuse.rofiles x rw\n");
  root.write("proc/77/comm", "luo-tool\n");
  root.link("proc/77/fd/5", "/dev/liveupdate");
  root.write("proc/78/comm", "other\n");
  root.link("proc/78/fd/5", "/dev/null");
  const auto facts = host_facts("", {}, root.path());
  EXPECT_EQ(facts.lockdown, Lockdown::integrity);
  EXPECT_TRUE(facts.secure_boot);
  EXPECT_TRUE(facts.modules_must_be_signed);
  EXPECT_TRUE(facts.has_microcode);
  EXPECT_EQ(facts.uptime_usec, 12'500'000U);
  EXPECT_EQ(facts.swaps, std::vector<std::string>{"/dev/zram0"});
  ASSERT_EQ(facts.network_mounts.size(), 1U);
  EXPECT_EQ(facts.network_mounts[0].path, "/home");
  EXPECT_EQ(facts.liveupdate_holders, std::vector<std::string>{"luo-tool (process 77)"});
}

TEST(HostFacts, NetworkFileSystemsAreKnownByTheirTypes) {
  const TemporaryDirectory root;
  for (const std::string type : {"nfs", "cifs", "9p", "lustre", "fuse.ceph", "fuse.ceph-fuse",
                                 "fuse.sshfs", "ceph", "gpfs", "ocfs2", "fuse.glusterfs"}) {
    root.write("proc/self/mountinfo", "30 22 0:40 / /home rw - " + type + " there rw\n");
    const auto facts = host_facts("", {}, root.path());
    ASSERT_EQ(facts.network_mounts.size(), 1U) << type;
    EXPECT_EQ(facts.network_mounts[0].type, type);
  }
}

TEST(HostFacts, AProcessThatMayNotBeLookedAtHidesNoOther) {
  const TemporaryDirectory root;
  root.write("proc/76/comm", "secret\n");
  root.link("proc/76/fd/5", "/dev/liveupdate");
  root.write("proc/77/comm", "luo-tool\n");
  root.write("proc/77/fd/1", "no link");
  root.link("proc/77/fd/5", "/dev/liveupdate");
  const auto closed = root.path() + "/proc/76/fd";
  ASSERT_EQ(::chmod(closed.c_str(), 0400), 0);
  const auto holders = host_facts("", {}, root.path()).liveupdate_holders;
  ASSERT_EQ(::chmod(closed.c_str(), 0700), 0);
  ASSERT_FALSE(holders.empty());
  EXPECT_EQ(holders.back(), "luo-tool (process 77)");
  // Root looks into it all the same.
  EXPECT_EQ(holders.size(), ::geteuid() == 0 ? 2U : 1U);
}

TEST(HostFacts, BadNumbersAreNotKnown) {
  const TemporaryDirectory root;
  root.write("proc/uptime", "soon\n");
  root.write("proc/swaps", "\n");
  root.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
  root.write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
             "\x06\0\0\0\0"s);
  const auto facts = host_facts("", {}, root.path());
  EXPECT_EQ(facts.uptime_usec, 0U);
  EXPECT_EQ(facts.lockdown, Lockdown::none);
  EXPECT_FALSE(facts.secure_boot);
}

TEST(HostFacts, TheMinimumUptimeIsThatOfTheRunningCommandLine) {
  const TemporaryDirectory root;
  const auto minimum = [&](const std::string& cmdline) {
    root.write("proc/cmdline", cmdline + "\n");
    return host_facts("systemd.minimum_uptime_sec=77", {}, root.path()).minimum_uptime_usec;
  };
  constexpr std::uint64_t second = 1'000'000;
  EXPECT_EQ(minimum("quiet"), 15 * second);
  EXPECT_EQ(minimum("systemd.minimum_uptime_sec=0"), 0U);
  EXPECT_EQ(minimum("quiet systemd.minimum_uptime_sec=2min"), 120 * second);
  EXPECT_EQ(minimum("systemd.minimum-uptime-sec=30"), 30 * second);
  EXPECT_EQ(minimum("systemd.minimum_uptime_sec=30 systemd.minimum_uptime_sec=5 -- x"), 5 * second);
  EXPECT_EQ(minimum("systemd.minimum_uptime_sec=soon"), 15 * second);
  EXPECT_EQ(minimum("systemd.minimum_uptime_sec"), 15 * second);
}

TEST(HostFacts, AResumeDeviceCountsUnlessItIsSwap) {
  const TemporaryDirectory root;
  root.write("dev/sda3", "");
  root.link("dev/disk/by-uuid/abc", "../../sda3");
  for (const auto* cmdline : {"resume=/dev/sda3", "quiet resume=UUID=abc kho=on"}) {
    EXPECT_NE(host_facts(cmdline, {}, root.path()).resume_device, "") << cmdline;
  }
  for (const auto* cmdline :
       {"", "resume=/dev/none", "resume=", "resume=254:1", "resume=/dev/sda3 noresume"}) {
    EXPECT_EQ(host_facts(cmdline, {}, root.path()).resume_device, "") << cmdline;
  }
  root.write("proc/swaps", "Filename\n/dev/sda3 partition 100 0 -2\n");
  EXPECT_EQ(host_facts("resume=UUID=abc", {}, root.path()).resume_device, "");
}

TEST(HostFacts, UdevKnowsOfAnImageOfAHibernation) {
  const TemporaryDirectory root;
  root.write("dev/sda3", "");
  root.write("sys/class/block/sda3/dev", "8:3\n");
  const auto facts = [&] { return host_facts("resume=/dev/sda3", {}, root.path()); };
  EXPECT_EQ(facts().resume_device, "/dev/sda3") << "nobody knows";
  EXPECT_FALSE(facts().resume_image);
  root.write("run/udev/data/b8:3", "I:1\nE:ID_FS_VERSION=1\nE:ID_FS_TYPE=swsuspend\nG:systemd\n");
  EXPECT_EQ(facts().resume_device, "/dev/sda3");
  EXPECT_TRUE(facts().resume_image);
  EXPECT_FALSE(host_facts("resume=/dev/sda3 noresume", {}, root.path()).resume_image);
  root.write("run/udev/data/b8:3", "E:ID_FS_TYPE=swap\n");
  EXPECT_EQ(facts().resume_device, "") << "it is swap, and nothing else";
  root.write("run/udev/data/b8:3", "E:ID_FS_TYPE=btrfs\n");
  EXPECT_EQ(facts().resume_device, "/dev/sda3") << "a swap file may lie in it";
  EXPECT_FALSE(facts().resume_image);

  EXPECT_FALSE(facts().hibernate_location);
  root.write("sys/firmware/efi/efivars/HibernateLocation-8cf2644b-4b0b-428f-9387-6d876050dc67",
             "x");
  EXPECT_TRUE(facts().hibernate_location);
  EXPECT_FALSE(host_facts("noresume", {}, root.path()).hibernate_location);
}

TEST(HostFacts, AreOfALoadedCrashKernel) {
  const TemporaryDirectory root;
  const auto facts = [&] { return host_facts("", {}, root.path()); };
  root.link("etc/systemd/system/multi-user.target.wants/kdump.service",
            "/usr/lib/systemd/system/kdump.service");
  EXPECT_FALSE(facts().crash_loaded);
  root.write("sys/kernel/kexec_crash_loaded", "0\n");
  EXPECT_FALSE(facts().crash_loaded);
  root.write("sys/kernel/kexec_crash_loaded", "1\n");
  EXPECT_TRUE(facts().crash_loaded);
  EXPECT_EQ(facts().crash_loader, "kdump.service");
  const TemporaryDirectory other;
  other.write("sys/kernel/kexec_crash_loaded", "1\n");
  EXPECT_EQ(host_facts("", {}, other.path()).crash_loader, "");
}

TEST(HostFacts, HaveTheListsOfHostsThatCannotKexec) {
  const TemporaryDirectory root;
  root.write("sys/class/dmi/id/modalias", "dmi:bvnAcme:svnAcme:pnRoadRunner9:\n");
  root.write("usr/lib/handover/kexec-deny.d/acme.conf",
             "bad\n\ndmi:*:pnRoadRunner*\n REASON=its disks stay off\n");
  auto facts = host_facts("", {}, root.path());
  ASSERT_TRUE(facts.denied);
  EXPECT_EQ(facts.denied->source, "/usr/lib/handover/kexec-deny.d/acme.conf:3");
  EXPECT_EQ(facts.denied->reason, "its disks stay off");
  ASSERT_EQ(facts.deny_problems.size(), 1U);
  EXPECT_EQ(facts.deny_problems[0].find("/usr/lib/handover/kexec-deny.d/acme.conf:1: "), 0U);
  // The administrator's takes its place.
  root.write("etc/handover/kexec-deny.d/acme.conf", "");
  root.write("etc/handover/kexec-deny.d/other.txt", "dmi:*\n");
  facts = host_facts("", {}, root.path());
  EXPECT_FALSE(facts.denied);
  EXPECT_TRUE(facts.deny_problems.empty());
  root.write("etc/handover/kexec-deny.d/z.conf", "dmi:*\n");
  ASSERT_TRUE(host_facts("", {}, root.path()).denied);
  // A host without DMI is on no list.
  root.write("sys/class/dmi/id/modalias", "");
  EXPECT_FALSE(host_facts("", {}, root.path()).denied);
}

TEST(HostFacts, SayWhatBlocksAModule) {
  const TemporaryDirectory root;
  EXPECT_EQ(blocker_of_module("handover", "quiet", root.path()), "");
  EXPECT_EQ(blocker_of_module("handover", "module_blacklist=handover", root.path()),
            "module_blacklist= of the target's command line");
  root.write("usr/lib/modprobe.d/no.conf", "blacklist handover\n");
  root.write("etc/modprobe.d/no.txt", "blacklist handover\n");
  EXPECT_EQ(blocker_of_module("handover", "", root.path()), "/usr/lib/modprobe.d/no.conf");
  // The administrator's takes its place.
  root.write("run/modprobe.d/no.conf", "blacklist other\n");
  EXPECT_EQ(blocker_of_module("handover", "", root.path()), "");
  root.write("etc/modprobe.d/no.conf", "blacklist handover\n");
  EXPECT_EQ(blocker_of_module("handover", "", root.path()), "/etc/modprobe.d/no.conf");
}

/// A process that holds a lock until it is told to go.
class LockHolder {
 public:
  LockHolder(const std::string& path, short type) {
    int ends[2] = {-1, -1};
    int ready[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    end_.reset(ends[1]);
    const UniqueFd wait(ends[0]);
    UniqueFd say(ready[1]);
    const UniqueFd hear(ready[0]);
    child_ = ::fork();
    if (child_ == 0) {
      end_.reset();
      const int fd = ::open(path.c_str(), O_RDWR);
      struct flock lock = {};
      lock.l_type = type;
      char byte = ::fcntl(fd, F_SETLK, &lock) == 0 ? 'y' : 'n';
      if (::write(say.get(), &byte, 1) == 1) (void)!::read(wait.get(), &byte, 1);
      ::_exit(0);
    }
    say.reset();
    char byte = 0;
    EXPECT_EQ(::read(hear.get(), &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
  }
  ~LockHolder() {
    end_.reset();
    ::waitpid(child_, nullptr, 0);
  }
  LockHolder(const LockHolder&) = delete;
  LockHolder& operator=(const LockHolder&) = delete;
  [[nodiscard]] pid_t pid() const { return child_; }

 private:
  UniqueFd end_;
  pid_t child_ = -1;
};

TEST(PackageLocks, AreThoseThatSomebodyHolds) {
  const TemporaryDirectory root;
  const auto frontend = root.write("var/lib/dpkg/lock-frontend", "");
  const auto lock = root.write("var/lib/dpkg/lock", "");
  const auto rpm = root.write("var/lib/rpm/.rpm.lock", "");
  EXPECT_TRUE(package_locks(root.path()).empty());
  {
    const LockHolder apt(frontend, F_WRLCK);
    root.write("proc/" + std::to_string(apt.pid()) + "/comm", "apt-get\n");
    const auto found = package_locks(root.path());
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].path, "/var/lib/dpkg/lock-frontend");
    EXPECT_EQ(found[0].process, "apt-get (process " + std::to_string(apt.pid()) + ")");
    EXPECT_FALSE(found[0].stays);
    const LockHolder dpkg(lock, F_WRLCK);
    EXPECT_EQ(package_locks(root.path()).size(), 2U);
  }
  EXPECT_TRUE(package_locks(root.path()).empty());
  {
    const LockHolder query(rpm, F_RDLCK);
    EXPECT_TRUE(package_locks(root.path()).empty()) << "it only reads";
  }
  root.write("var/lib/pacman/db.lck", "");
  ASSERT_EQ(package_locks(root.path()).size(), 1U);
  EXPECT_EQ(package_locks(root.path())[0].process, "");
  EXPECT_TRUE(package_locks(root.path())[0].stays);
}

/// apk uses flock(2), xbps and portage what dpkg does.
TEST(PackageLocks, AreOfEachPackageManager) {
  const TemporaryDirectory root;
  for (const std::string path : {"/var/db/xbps/pkgdb-0.38.plist", "/var/db/xbps/lock",
                                 "/var/db/.pkg.portage_lockfile", "/lib/apk/db/lock"}) {
    const auto file = root.write(path.substr(1), "");
    EXPECT_TRUE(package_locks(root.path()).empty()) << path;
    const LockHolder holder(file, F_WRLCK);
    ASSERT_EQ(package_locks(root.path()).size(), 1U) << path;
    EXPECT_EQ(package_locks(root.path())[0].path, path);
  }
  for (const std::string path : {"/lib/apk/db/lock", "/run/apk/db.lock"}) {
    const auto file = root.write(path.substr(1), "");
    struct stat status = {};
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    char place[64];
    std::snprintf(place, sizeof(place), "%02x:%02x:%lu", major(status.st_dev), minor(status.st_dev),
                  static_cast<unsigned long>(status.st_ino));
    const std::string other = "1: POSIX  ADVISORY  WRITE 76 00:00:1 0 EOF\n";
    const auto line = [&](const std::string& kind, const std::string& access) {
      return "2: " + kind + "  ADVISORY  " + access + " 77 " + place + " 0 EOF\n";
    };
    root.write("proc/77/comm", "apk\n");
    root.write("proc/locks", other + line("FLOCK", "WRITE"));
    const auto found = package_locks(root.path());
    ASSERT_EQ(found.size(), 1U) << path;
    EXPECT_EQ(found[0].path, path);
    EXPECT_EQ(found[0].process, "apk (process 77)");
    for (const auto& text : {other, line("FLOCK", "READ"), line("-> FLOCK", "WRITE")}) {
      root.write("proc/locks", text);
      EXPECT_TRUE(package_locks(root.path()).empty()) << text;
    }
  }
}

void add_dm(const TemporaryDirectory& root, const std::string& device, const std::string& name,
            const std::string& uuid) {
  root.write("sys/block/" + device + "/dm/name", name + "\n");
  root.write("sys/block/" + device + "/dm/uuid", uuid + "\n");
}

std::string text_of(const std::vector<LockedVolume>& volumes) {
  std::string text;
  for (const auto& volume : volumes) text += volume.name + (volume.holds_root ? "! " : " ");
  return text;
}

TEST(LockedVolumes, AreThoseThatAskAPerson) {
  const TemporaryDirectory root;
  root.write("proc/self/mountinfo", "22 1 254:2 / / rw - ext4 /dev/mapper/vg-root rw\n");
  root.link("sys/dev/block/254:2", "../../devices/virtual/block/dm-2");
  add_dm(root, "dm-0", "luks-root", "CRYPT-LUKS2-abc-luks-root");
  add_dm(root, "dm-1", "data", "CRYPT-LUKS1-def-data");
  add_dm(root, "dm-2", "vg-root", "LVM-xyz");
  add_dm(root, "dm-3", "scratch", "CRYPT-PLAIN-scratch");
  add_dm(root, "dm-4", "byhand", "CRYPT-LUKS2-1-byhand");
  EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "") << "the root lies on none";
  root.write("sys/block/dm-2/slaves/dm-0/dev", "254:0\n");
  EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "luks-root! ")
      << "no line: it may be asked for";
  root.write("etc/crypttab",
             "# name device key options\nluks-root UUID=1 none luks\ndata UUID=2 none\n"
             "scratch /dev/sdb /dev/urandom swap\nclosed UUID=3 none luks\n");
  EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "luks-root! data ");
  for (const auto* line : {"luks-root UUID=1 /etc/key luks", "luks-root UUID=1 - tpm2-device=auto",
                           "luks-root UUID=1 none luks,keyscript=/bin/x"}) {
    root.write("etc/crypttab", std::string(line) + "\ndata UUID=2 none noauto,luks\n");
    EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "") << line;
  }
  // Somebody has to touch it.
  root.write("etc/crypttab", "luks-root UUID=1 - fido2-device=auto\n");
  EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "luks-root! ");
}

/// A root on luks-root, and data beside it.
void add_two_volumes(const TemporaryDirectory& root) {
  root.write("proc/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/mapper/luks-root rw\n");
  root.link("sys/dev/block/254:0", "../../devices/virtual/block/dm-0");
  add_dm(root, "dm-0", "luks-root", "CRYPT-LUKS2-abc-luks-root");
  add_dm(root, "dm-1", "data", "CRYPT-LUKS2-def-data");
}

TEST(LockedVolumes, BooleansOfCrypttabCount) {
  const TemporaryDirectory root;
  add_two_volumes(root);
  for (const auto* asking : {"headless=no", "headless=0", "tpm2-device=auto,tpm2-pin=yes",
                             "tpm2-device=auto,tpm2-pin", "keyscripts=x", "", "luks,,discard"}) {
    root.write("etc/crypttab", std::string("luks-root UUID=1 none ") + asking + "\n");
    EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "luks-root! ") << asking;
  }
  for (const auto* silent :
       {"headless", "headless=true", "luks,headless=1", "tpm2-device=auto,tpm2-pin=no",
        "tpm2-pin=false,tpm2-device=/dev/tpm0"}) {
    root.write("etc/crypttab", std::string("luks-root UUID=1 none ") + silent + "\n");
    EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "") << silent;
  }
}

TEST(LockedVolumes, AKeyFileOfTheNameOpensThem) {
  for (const auto* directory : {"etc/cryptsetup-keys.d/", "run/cryptsetup-keys.d/"}) {
    const TemporaryDirectory root;
    add_two_volumes(root);
    root.write("etc/crypttab", "luks-root UUID=1\ndata UUID=2 -\n");
    root.write(directory + "data.key"s, "k");
    EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "luks-root! ");
    root.write(directory + "luks-root.key"s, "k");
    EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "");
  }
}

TEST(LockedVolumes, TheInitrdsOwnCrypttabGoesBefore) {
  const TemporaryDirectory root;
  add_two_volumes(root);
  root.write("etc/crypttab", "luks-root UUID=1 none luks\n");
  root.write("etc/crypttab.initramfs", "luks-root UUID=1 none tpm2-device=auto\n");
  EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "");
}

TEST(LockedVolumes, TheTargetsCommandLineMayOpenTheRoot) {
  const TemporaryDirectory root;
  add_two_volumes(root);
  root.write("etc/crypttab", "luks-root UUID=1 none luks\ndata UUID=2 none\n");
  for (const auto* opens :
       {"rd.luks.options=tpm2-device=auto", "rd.luks.options=0a-1b=luks,tpm2-device=auto",
        "luks.options=headless", "rd.luks.key=/key", "luks.key=0a=/key",
        "cryptkey=rootfs:/etc/root.key"}) {
    EXPECT_EQ(text_of(locked_volumes(opens, {}, root.path())), "data ") << opens;
  }
  for (const auto* asks : {"", "rd.luks.uuid=1", "rd.luks.options=discard",
                           "rd.luks.options=0a=", "rd.luks.key=", "rd.luks.key",
                           "cryptkey=", "rd.luks.options=tpm2-device=auto,tpm2-pin=yes",
                           "x.luks.key=/key", "init -- rd.luks.key=/key"}) {
    EXPECT_EQ(text_of(locked_volumes(asks, {}, root.path())), "luks-root! data ") << asks;
  }
}

std::string how_of(const std::vector<LockedVolume>& volumes) {
  std::string text;
  for (const auto& volume : volumes) {
    text += volume.name + (volume.in_initrd ? "/initrd" : "") + "=" +
            std::to_string(static_cast<int>(volume.by)) + " ";
  }
  return text;
}

TEST(LockedVolumes, SayWhatAPersonHasToDo) {
  const TemporaryDirectory root;
  add_two_volumes(root);
  const auto how = [&](const std::string& options) {
    root.write("etc/crypttab", "luks-root UUID=1 none " + options + "\n");
    return how_of(locked_volumes("", {}, root.path()));
  };
  EXPECT_EQ(how("luks"), "luks-root=0 ");
  EXPECT_EQ(how("luks,fido2-device=auto"), "luks-root=1 ");
  EXPECT_EQ(how("tpm2-device=auto,tpm2-pin=yes"), "luks-root=2 ");
  EXPECT_EQ(how("pkcs11-uri=auto"), "luks-root=2 ");
  EXPECT_EQ(how("_netdev"), "luks-root=0 ") << "the network alone opens nothing";
  EXPECT_EQ(how("try-empty-password=yes"), "");
}

/// It is what the boot goes by, whatever /etc/crypttab says by now.
TEST(LockedVolumes, TheInitrdsCrypttabGoesBeforeTheHosts) {
  const TemporaryDirectory root;
  add_two_volumes(root);
  root.write("etc/crypttab", "luks-root UUID=1 none tpm2-device=auto\n");
  InitrdFacts initrd;
  initrd.crypttab =
      "# Debian\nluks-root UUID=1 none luks,initramfs\nspare UUID=9 none luks\n"
      "opened UUID=8 /cryptroot/keyfiles/opened.key luks\n";
  EXPECT_EQ(how_of(locked_volumes("", initrd, root.path())), "luks-root/initrd=0 spare/initrd=0 ");
  initrd.crypttab = "luks-root UUID=1 none tpm2-device=auto\n";
  root.write("etc/crypttab", "luks-root UUID=1 none luks\n");
  EXPECT_EQ(how_of(locked_volumes("", initrd, root.path())), "");
}

TEST(LockedVolumes, ClevisOpensThem) {
  const TemporaryDirectory root;
  add_two_volumes(root);
  root.write("etc/crypttab", "luks-root UUID=1 none luks\ndata UUID=2 none _netdev\n");
  InitrdFacts initrd;
  initrd.has_clevis = true;
  EXPECT_EQ(how_of(locked_volumes("", initrd, root.path())), "luks-root=3 data=0 ");
  root.link("etc/systemd/system/remote-cryptsetup.target.wants/clevis-luks-askpass.path",
            "/usr/lib/systemd/system/clevis-luks-askpass.path");
  EXPECT_EQ(how_of(locked_volumes("", initrd, root.path())), "luks-root=3 data=3 ");
  EXPECT_EQ(how_of(locked_volumes("", {}, root.path())), "luks-root=0 data=3 ")
      << "it is not in the initrd";
}

TEST(LockedVolumes, KnowARootWithoutANumberOfItsOwn) {
  const TemporaryDirectory root;
  root.write("proc/self/mountinfo", "22 1 0:30 /@ / rw - btrfs /dev/mapper/cr rw\n");
  root.link("dev/mapper/cr", "../dm-0");
  add_dm(root, "dm-0", "cr", "CRYPT-LUKS2-abc-cr");
  EXPECT_EQ(text_of(locked_volumes("", {}, root.path())), "cr! ");
}

std::string boot_parameters(std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> ranges) {
  std::string data(0x1000, '\0');
  data[0x1e8] = static_cast<char>(ranges.size());
  std::size_t at = 0x2d0;
  for (const auto& [begin, size] : ranges) {
    std::memcpy(&data[at], &begin, 8);
    std::memcpy(&data[at + 8], &size, 8);
    data[at + 16] = 1;
    at += 20;
  }
  return data;
}

TEST(MemoryBlocks, ThatTheBootLoaderDidNotKnowAreHotAdded) {
  const TemporaryDirectory root;
  const std::string directory = "sys/devices/system/memory/";
  const auto add = [&](const std::string& block, const char* state, const char* zones) {
    root.write(directory + "memory" + block + "/phys_index", "0000000" + block + "\n");
    root.write(directory + "memory" + block + "/state", state);
    root.write(directory + "memory" + block + "/valid_zones", zones);
  };
  root.write(directory + "block_size_bytes", "8000000\n");  // 128 MiB
  add("0", "online\n", "none\n");
  add("1", "online\n", "Normal\n");
  add("2", "online\n", "Normal\n");
  add("3", "online\n", "Movable\n");
  add("4", "offline\n", "Normal Movable\n");
  EXPECT_EQ(hot_added_memory(root.path()), 0U) << "there is no map";
  // The second block is there in part.
  root.write("sys/kernel/boot_params/data", boot_parameters({{0, 0x8000000}, {0x8000000, 0x1000}}));
  EXPECT_EQ(hot_added_memory(root.path()), 0x8000000U);
  root.write("sys/kernel/boot_params/data", boot_parameters({{0, 0x18000000}}));
  EXPECT_EQ(hot_added_memory(root.path()), 0U);
  root.write("sys/kernel/boot_params/data", std::string(0x1e9, '\x7f'));
  EXPECT_EQ(hot_added_memory(root.path()), 0U) << "it is cut";
}

TEST(RoomFacts, AreReadFromTheirFiles) {
  const TemporaryDirectory root;
  auto facts = room_facts("/run/handover", "/var/lib/handover", root.path());
  EXPECT_TRUE(facts.scratch_bytes.empty());
  EXPECT_FALSE(facts.available_memory);
  EXPECT_FALSE(facts.runtime_directory);
  EXPECT_FALSE(facts.state_directory);
  root.write("sys/kernel/debug/kho/out/scratch_len", "0x1000000\n0x800000\n");
  root.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable:     500 kB\n");
  root.write("run/handover/manifest.json", "");
  facts = room_facts("/run/handover", "/var/lib/handover", root.path());
  EXPECT_EQ(facts.scratch_bytes, (std::vector<std::uint64_t>{0x1000000, 0x800000}));
  EXPECT_EQ(facts.available_memory, 512'000U);
  EXPECT_GT(facts.runtime_directory.value_or(0), 0U);
  EXPECT_FALSE(facts.state_directory);
  root.write("sys/kernel/debug/kho/out/scratch_len", "much\n");
  root.write("proc/meminfo", "MemAvailable: many kB\n");
  facts = room_facts("/run/handover", "/var/lib/handover", root.path());
  EXPECT_TRUE(facts.scratch_bytes.empty());
  EXPECT_FALSE(facts.available_memory);
}

}  // namespace
}  // namespace handover::system::test

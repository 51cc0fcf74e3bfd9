// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-vmm through updates with a real QEMU, whose guest is its firmware and nothing else.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>

#include "vmm_client.h"

namespace handover::test {
namespace {

TEST_F(VmmClient, GoesOnAfterEachUpdate) {
  start();
  for (std::uint64_t generation = 1; generation <= 2; ++generation) {
    expect_carried();
    EXPECT_GT(told()["carried"]["state_bytes"].get<int>(), 1000);
    EXPECT_EQ(host.generation(), generation);
  }
}

/// Its memory is not the guest's: it goes into the state, and does not fit into a pipe.
TEST_F(VmmClient, GoesOnWithADeviceThatHasMemory) {
  start({"-device", "VGA"});
  host.update_ends("done");
  EXPECT_TRUE(host.run_until([&] { return runs() && host.state() == "normal"; }));
  EXPECT_TRUE(told()["carried"]["restored"]);
}

TEST_F(VmmClient, DeviceThatCannotMigrateIsNamed) {
  start({"-device", "amd-iommu"});
  expect_refused("amd-iommu");
}

TEST_F(VmmClient, QemuThatHangsIsAVetoInTime) {
  start({}, {}, command_of_hanging);
  ASSERT_EQ(kill(qemu_process(), SIGSTOP), 0);
  expect_refused("QEMU does not answer");
  ASSERT_EQ(kill(qemu_process(), SIGCONT), 0);
  host.observer().clear();
  host.update_ends("done");
  EXPECT_TRUE(host.run_until([&] { return runs() && host.state() == "normal"; }));
}

TEST_F(VmmClient, CancelledAfterFreeze) {
  freeze();
  const auto before = qemu_process();
  expect_goes_on_after_cancel();
  EXPECT_EQ(qemu_process(), before);
}

TEST_F(VmmClient, QemuKilledWhileFrozen) {
  freeze();
  const auto before = qemu_process();
  ASSERT_EQ(kill(before, SIGKILL), 0);
  ASSERT_TRUE(host.run_until([&] { return qemu_process() == 0; }));
  EXPECT_EQ(told()["state"], "frozen");
  expect_goes_on_after_cancel();
  EXPECT_NE(qemu_process(), before);
  EXPECT_FALSE(status) << "handover-vmm has ended";
}

/// Nothing else may be started on its memory while the daemon is away.
TEST_F(VmmClient, QemuKilledWhileFrozenAndTheDaemonAway) {
  freeze();
  ASSERT_EQ(kill(qemu_process(), SIGKILL), 0);
  ASSERT_TRUE(host.run_until([&] { return qemu_process() == 0; }));
  host.manager().set_restarts(false);
  host.manager().kill_daemon();
  ASSERT_TRUE(host.run_until([&] { return says("handoverd is closed"); }));
  EXPECT_FALSE(
      host.loop().run_until([&] { return qemu_process() != 0; }, std::chrono::milliseconds(1000)));
  host.manager().set_restarts(true);
  host.manager().start();
  EXPECT_TRUE(host.run_until([&] { return runs() && says("a new one takes it over"); })) << told();
  EXPECT_TRUE(says("goes on without an update"));
  below().on(Call::freeze, ScriptedClient::Behaviour::answer);
  EXPECT_TRUE(host.run_until([&] { return host.state() == "normal"; }));
}

/// The orderly way into the next kernel: its state stays with the daemon.
TEST_F(VmmClient, SigtermWhileFrozen) {
  freeze();
  const auto process = qemu_process();
  vmm->signal(SIGTERM);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0) << *status;
  EXPECT_TRUE(host.run_until([&] { return !alive(process); }));
  EXPECT_TRUE(preserved());
  // The daemon would wait for its next start, to thaw it.
  host.manager().set_restarts(false);
  host.manager().kill_daemon();
}

/// A QEMU that runs behind a script, which reads along: while there is a file "dies", it ends when
/// the guest has gone on, and before QEMU has said that it did as it was told.
constexpr const char* dying_qemu = R"(#!/usr/bin/python3
import ctypes, os, re, select, signal, socket, subprocess, sys
if '--version' in sys.argv:
    os.execv(QEMU, [QEMU] + sys.argv[1:])
number = int(re.search(r'socket,id=[^,]*,fd=(\d+)', ' '.join(sys.argv)).group(1))
above = socket.socket(fileno=os.dup(number))
below, its = socket.socketpair()
os.dup2(its.fileno(), number)
its.close()
die_with_us = lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)
qemu = subprocess.Popen([QEMU] + sys.argv[1:], close_fds=False, preexec_fn=die_with_us)
os.close(number)
goes_on = False
while True:
    for one in select.select([above, below], [], [])[0]:
        data, descriptors, _, _ = socket.recv_fds(one, 65536, 8)
        if not data:
            sys.exit(qemu.wait() if one is below else 0)
        goes_on = goes_on or (one is above and b'"cont"' in data and os.path.exists('dies'))
        dead = goes_on and one is below and b'"RESUME"' in data
        if dead:
            lines = data.splitlines(True)
            data = b''.join(lines[:1 + [b'"RESUME"' in line for line in lines].index(True)])
        socket.send_fds(below if one is above else above, [data], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if dead:
            qemu.kill()
            sys.exit(9)
)";

/// The state is older than the guest by then: no other QEMU may go on with it.
TEST_F(VmmClient, QemuThatDiesAfterTheGuestWentOn) {
  std::string script = dying_qemu;
  for (std::size_t at = 0; (at = script.find("QEMU", at)) != std::string::npos;) {
    script.replace(at, 4, "'" + qemu + "'");
    at += qemu.size() + 2;
  }
  qemu = host.directory().write("dying", script);
  std::filesystem::permissions(qemu, std::filesystem::perms::owner_all);
  freeze();
  host.directory().write("dies", "");
  ASSERT_TRUE(host.cancel().ok());
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) != 0) << *status;
  EXPECT_EQ(host.finished().outcome, "cancelled");
  EXPECT_EQ(told()["state"], "ended");
  EXPECT_FALSE(says("a new one takes"));
  EXPECT_TRUE(host.run_until([&] { return host.list_sessions().empty(); }));
}

/// It is told in the log, and costs nobody the guest.
TEST_F(VmmClient, FullDiskUnderTheStatus) {
  status_is_full = true;
  launch({{"memory", "32M"},
          {"state", "32M"},
          {"arguments", {"-machine", "q35", "-accel", "tcg", "-nodefaults", "-display", "none"}},
          {"limits", {{"command", 30}}}});
  ASSERT_TRUE(host.run_until([&] { return preserved() || status; })) << text_of(log());
  if (status && WIFEXITED(*status) && WEXITSTATUS(*status) == may_not_mount) {
    GTEST_SKIP() << "only root can fill a file system of its own";
  }
  ASSERT_FALSE(status) << text_of(log());
  EXPECT_TRUE(host.run_until([&] { return says("No space left on device"); }));
  host.observer().clear();
  host.update_ends("done");
  EXPECT_TRUE(host.run_until([&] { return preserved() && says("in the new kernel"); }));
  EXPECT_FALSE(status);
}

/// It is asked when it cannot answer, and does as it was told once it can.
TEST_F(VmmClient, QemuThatHangsInTheFreeze) {
  start({}, {}, command_of_hanging);
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.run_until([&] { return host.state() == "prepared"; }));
  ASSERT_EQ(kill(qemu_process(), SIGSTOP), 0);
  expect_refused("QEMU does not answer");
  ASSERT_EQ(kill(qemu_process(), SIGCONT), 0);
  EXPECT_TRUE(runs());
}

TEST_F(VmmClient, EndsWithItsQemu) {
  start();
  ASSERT_EQ(kill(qemu_process(), SIGKILL), 0);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_EQ(told()["state"], "ended");
  EXPECT_TRUE(host.run_until([&] { return host.list_sessions().empty(); }));
}

TEST_F(VmmClient, MemoryOfMoreThanAFileMayHave) {
  most_file_bytes = 8 << 20;
  launch({{"memory", "64M"}});
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 125) << *status;
  EXPECT_TRUE(says("ulimit -f"));
}

}  // namespace
}  // namespace handover::test

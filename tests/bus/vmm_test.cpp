// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-vmm through updates with a real QEMU, whose guest is its firmware and nothing else.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>

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

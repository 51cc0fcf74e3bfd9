// SPDX-License-Identifier: LGPL-2.1-or-later
// The watchdog over the kexec: a host that goes on is never reset.
#include <gtest/gtest.h>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class WatchdogTest : public WorldTest {
 protected:
  void boot_with_watchdog() {
    world.config.watchdog.device = "/dev/watchdog0";
    watchdog().facts.there = true;
    watchdog().facts.stop_on_reboot = 0;
    boot_two();
  }
  Machine::FakeWatchdog& watchdog() { return world.machine.watchdog; }
  std::vector<FindingId> findings(const UpdateOptions& options = {}) {
    std::vector<FindingId> ids;
    world.call([&](Engine& engine) {
      engine.preflight(options, [&ids](const Result<std::vector<Finding>>& found) {
        if (!found) return;
        for (const auto& one : *found) ids.push_back(one.id);
      });
    });
    world.settle();
    return ids;
  }
};

TEST_F(WatchdogTest, CountsFromTheKexecUntilTheNewKernelsDaemonIsHere) {
  boot_with_watchdog();
  bool counted = false;
  world.machine.on_kexec = [&, reboot = world.machine.on_kexec] {
    counted = watchdog().counts;
    if (reboot) reboot();
  };
  EXPECT_EQ(findings(), std::vector{FindingId::kernel_untried});
  EXPECT_FALSE(watchdog().counts);
  EXPECT_EQ(world.update(), "done");
  EXPECT_TRUE(counted);
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(watchdog().arms, 1U);
  EXPECT_FALSE(watchdog().counts);
  expect_all_is_well(world);
}

TEST_F(WatchdogTest, IsStoppedWhenTheKexecFails) {
  boot_with_watchdog();
  world.machine.kexec_error = Error{ErrorCode::kexec_failed, "reboot: Operation not permitted", 0};
  EXPECT_EQ(world.update(), "failed");
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(watchdog().arms, 1U);
  EXPECT_FALSE(watchdog().counts);
  EXPECT_EQ(watchdog().feeds, 0U);
}

TEST_F(WatchdogTest, ThatCannotBeStoppedIsFed) {
  boot_with_watchdog();
  world.machine.kexec_error = Error{ErrorCode::kexec_failed, "reboot: Operation not permitted", 0};
  watchdog().disarm_error = Error{ErrorCode::busy, "the watchdog cannot be stopped", 0};
  EXPECT_EQ(world.update(), "failed");
  world.run_for(3600 * World::second);
  EXPECT_GE(watchdog().feeds, 3600U / 120U) << "once in its time, at least";
}

/// With its descriptor nobody is left to feed it.
TEST_F(WatchdogTest, IsStoppedByTheSuccessorOfADaemonThatDied) {
  boot_with_watchdog();
  world.call([&](Engine& engine) {
    engine.request(JobType::update, {}, Caller{}, [](const Result<std::uint64_t>&) {});
  });
  ASSERT_TRUE(world.run_until([&] { return watchdog().arms > 0; }));
  EXPECT_TRUE(watchdog().counts);
  world.kill_daemon();
  ASSERT_TRUE(world.calm_down());
  EXPECT_FALSE(watchdog().counts);
  expect_all_is_well(world);
}

/// With nowayout it would count from then on, and reset a host on which all went well.
TEST_F(WatchdogTest, IsNotOpenedByTheNewKernelsDaemonUnlessItWasArmed) {
  boot_with_watchdog();
  watchdog().facts.nowayout = true;
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  world.kill_daemon();
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(watchdog().opens, 0U);
  EXPECT_FALSE(watchdog().counts);
}

TEST_F(WatchdogTest, ThatTheNewKernelCannotStopIsFedByEachOfItsDaemons) {
  boot_with_watchdog();
  world.machine.on_kexec = [&, reboot = world.machine.on_kexec] {
    watchdog().disarm_error = Error{ErrorCode::busy, "the watchdog cannot be stopped", 0};
    if (reboot) reboot();
  };
  EXPECT_EQ(world.update(), "done");
  for (int process = 0; process < 2; ++process) {
    watchdog().feeds = 0;
    world.run_for(600 * World::second);
    EXPECT_GE(watchdog().feeds, 600U);
    world.kill_daemon();
  }
}

TEST_F(WatchdogTest, WhoseDriverComesLateIsStoppedThen) {
  boot_with_watchdog();
  watchdog().absent_for = 40;
  EXPECT_EQ(world.update(), "done");
  world.run_for(20 * World::second);
  EXPECT_TRUE(watchdog().counts);
  world.run_for(40 * World::second);
  EXPECT_FALSE(watchdog().counts);
  EXPECT_EQ(watchdog().opens, 41U);
}

TEST_F(WatchdogTest, WhoseDriverNeverComesIsGivenUpWhenItsTimeIsOver) {
  boot_with_watchdog();
  watchdog().absent_for = 1'000'000;
  EXPECT_EQ(world.update(), "done");
  world.run_for(3600 * World::second);
  EXPECT_EQ(watchdog().opens, 1U + world.config.watchdog.timeout_usec / World::second);
}

/// Nothing says any more that it was armed.
TEST_F(WatchdogTest, IsStoppedThoughTheStateIsLost) {
  boot_with_watchdog();
  world.call([&](Engine& engine) {
    engine.request(JobType::update, {}, Caller{}, [](const Result<std::uint64_t>&) {});
  });
  ASSERT_TRUE(world.run_until([&] { return watchdog().arms > 0; }));
  world.power_cut();
  world.machine.booted_by_kexec = true;
  EXPECT_TRUE(watchdog().counts);
  ASSERT_TRUE(world.calm_down());
  EXPECT_FALSE(watchdog().counts);
}

TEST_F(WatchdogTest, ThatIsNotToBeHadIsToldAndNotWaitedFor) {
  boot_with_watchdog();
  watchdog().facts.open_elsewhere = true;
  EXPECT_EQ(findings(), (std::vector{FindingId::watchdog_unavailable, FindingId::kernel_untried}));
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(watchdog().arms, 0U);
}

TEST_F(WatchdogTest, ThatFailsIsNoReasonToStay) {
  boot_with_watchdog();
  watchdog().arm_error = Error{ErrorCode::busy, "cannot open the watchdog: busy", EBUSY};
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_FALSE(watchdog().counts);
}

TEST_F(WatchdogTest, OfAnOrderlyUpdateIsSystemds) {
  boot_with_watchdog();
  watchdog().facts.there = false;
  EXPECT_EQ(findings(orderly()), std::vector{FindingId::kernel_untried});
  watchdog().facts.there = true;
  begin_orderly_kexec();
  EXPECT_EQ(watchdog().arms, 0U);
}

TEST_F(WatchdogTest, IsOffByDefault) {
  boot_two();
  watchdog().facts.there = true;
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(watchdog().arms, 0U);
}

}  // namespace
}  // namespace handover::engine::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// What came to the host since preflight is seen right before the freeze.
#include <gtest/gtest.h>

#include <optional>

#include "../system/log_capture.h"
#include "world_test.h"

namespace handover::engine::test {
namespace {

class SecondLookTest : public WorldTest {
 protected:
  void prepare() {
    boot_two();
    ASSERT_TRUE(world.request(JobType::prepare));
    ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
    world.settle();
    ASSERT_FALSE(world.engine().job());
  }
  void expect_undone_by(const std::string& reason) {
    EXPECT_NE(world.reason().find(reason), std::string::npos) << world.reason();
    EXPECT_EQ(world.announced.count("Freeze guest"), 0U);
    EXPECT_EQ(world.announced.count("Cancel guest"), 1U);
    EXPECT_FALSE(world.machine.target_loaded);
    EXPECT_EQ(world.kernels, 1U);
    expect_all_is_well(world);
  }
};

TEST_F(SecondLookTest, APackageManagerIsSeen) {
  prepare();
  world.machine.package_locks = {{"/var/lib/dpkg/lock", "dpkg (process 12)"}};
  EXPECT_EQ(world.update(), "failed");
  expect_undone_by("package manager dpkg (process 12) is at work");
  world.machine.package_locks.clear();
  EXPECT_EQ(world.update(), "done");
}

TEST_F(SecondLookTest, ALockOnShutdownIsSeen) {
  prepare();
  world.pid_one.managers.inhibitors = {{"Backup", "It writes", 7, true}};
  EXPECT_EQ(world.update(), "failed");
  expect_undone_by("shutdown is inhibited by Backup");
}

TEST_F(SecondLookTest, AQueuedShutdownIsSeen) {
  prepare();
  world.pid_one.managers.shutdown_jobs = {"reboot.target"};
  EXPECT_EQ(world.update(), "failed");
  expect_undone_by("PID 1 is about to start reboot.target");
}

TEST_F(SecondLookTest, AWarningThatIsNewIsInTheJournalOnce) {
  boot_two();
  world.pid_one.managers.scheduled_shutdown = "poweroff";
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  world.settle();
  world.pid_one.managers.inhibitors = {{"Upgrades", "Later", 8, false}};
  const handover::test::LogCapture capture;
  EXPECT_EQ(world.update(), "done");
  std::size_t delayed = 0;
  for (const auto& line : capture.lines(log::Level::warning)) {
    delayed += handover::test::has_field(line, "CODE=shutdown-delayed") ? 1 : 0;
    EXPECT_FALSE(handover::test::has_field(line, "CODE=shutdown-scheduled")) << "it was told";
  }
  EXPECT_EQ(delayed, 1U);
}

TEST_F(SecondLookTest, ARehearsalLooksToo) {
  prepare();
  world.machine.package_locks = {{"/var/lib/dpkg/lock", "dpkg (process 12)"}};
  const auto finished = world.announced.finished.size();
  ASSERT_TRUE(world.request(JobType::rehearse));
  ASSERT_TRUE(world.run_until([&] { return world.announced.finished.size() > finished; }));
  world.settle();
  EXPECT_EQ(world.announced.finished.back().outcome, "failed");
  expect_undone_by("is at work");
}

TEST_F(SecondLookTest, WhatIsGoneIsForgotten) {
  boot_two();
  world.pid_one.managers.inhibitors = {{"Backup", "It writes", 7, true}};
  UpdateOptions options;
  options.allow = {FindingId::shutdown_inhibited};
  ASSERT_TRUE(world.request(JobType::prepare, options));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  world.settle();
  world.pid_one.managers.inhibitors.clear();
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(newest().overruled, "");
}

TEST_F(SecondLookTest, WhatIsAllowedNowIsRecorded) {
  prepare();
  world.machine.package_locks = {{"/var/lib/dpkg/lock", "dpkg (process 12)"}};
  UpdateOptions options;
  options.allow = {FindingId::packages_changing};
  EXPECT_EQ(world.update(options), "done");
  EXPECT_TRUE(newest().overruled.starts_with("packages-changing (allowed by uid "))
      << newest().overruled;
}

TEST_F(SecondLookTest, ACancelMeanwhileUndoesIt) {
  prepare();
  world.host().hold(target_queue);
  std::optional<bool> looks;
  world.before_step = [&] {
    const auto& job = world.engine().job();
    if (!looks && job && world.engine().state() == State::prepared) {
      looks = true;
      world.call([](Engine& engine) { engine.cancel({}, [](const Result<void>&) {}); });
    }
    // Loading uses the same queue: let that go first.
    if (!looks) world.host().release(target_queue);
  };
  EXPECT_EQ(world.update(), "cancelled");
  EXPECT_TRUE(looks);
  EXPECT_EQ(world.announced.count("Freeze guest"), 0U);
  world.before_step = {};
  expect_all_is_well(world);
}

TEST_F(SecondLookTest, WhoComesMeanwhileIsPrepared) {
  prepare();
  world.client("late").preserves("late", {1});
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until(
      [&] { return world.engine().job() && world.engine().state() == State::prepared; }));
  world.host().hold(target_queue);
  world.client("late").start();
  world.settle();
  EXPECT_EQ(world.engine().state(), State::prepared);
  world.host().release(target_queue);
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Prepare late"), 1U);
  EXPECT_EQ(world.announced.count("Freeze late"), 1U);
  EXPECT_EQ(world.announced.count("Prepare guest"), 1U);
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Clients that come, or come again, while an update is prepared (D9).
#include <gtest/gtest.h>

#include "world_test.h"

namespace handover::engine::test {
namespace {

using NewcomerTest = WorldTest;

TEST_F(NewcomerTest, OnlyTheNewcomerIsPrepared) {
  boot_two();
  world.client("late").preserves("late", {1});
  guest().does(ClientCall::prepare, Does::nothing);
  ASSERT_TRUE(world.request(JobType::update));
  world.client("late").start();
  world.settle();
  guest().answer_now();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Prepare disk"), 1U);
  EXPECT_EQ(world.announced.count("Prepare guest"), 1U);
  EXPECT_EQ(world.announced.count("Prepare late"), 1U);
  EXPECT_EQ(world.announced.count("Freeze late"), 1U);
  expect_all_is_well(world);
}

TEST_F(NewcomerTest, OfAPreparedUpdateIsPreparedWhenItGoesOn) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  world.client("late").preserves("late", {1});
  world.client("late").start();
  world.settle();
  const auto collapses = world.machine.collapses;
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Prepare disk"), 1U);
  EXPECT_EQ(world.announced.count("Prepare late"), 1U);
  EXPECT_EQ(world.machine.collapses, collapses + 1);  // of its session alone
  expect_all_is_well(world);
}

TEST_F(NewcomerTest, WhoIsRestartedOnceIsPreparedAgain) {
  boot_two();
  disk().does(ClientCall::prepare, Does::register_again);
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Prepare disk"), 2U);
  EXPECT_EQ(world.announced.count("Prepare guest"), 1U);
  expect_all_is_well(world);
}

TEST_F(NewcomerTest, WhoRegistersAgainAtEachPrepareIsNamed) {
  boot_two();
  disk().always(ClientCall::prepare, Does::register_again);
  EXPECT_EQ(world.update(), "failed");
  EXPECT_NE(world.reason().find("'disk'"), std::string::npos) << world.reason();
  EXPECT_EQ(world.announced.count("Prepare disk"), 3U);
  EXPECT_EQ(world.announced.count("Freeze guest"), 0U);
  disk().always(ClientCall::prepare, Does::answer);
  expect_all_is_well(world);
}

TEST_F(NewcomerTest, AnOptionalOneIsLeftOut) {
  boot_two();
  world.client("cache").optional().preserves("cache", {1});
  world.client("cache").start();
  world.settle();
  world.client("cache").always(ClientCall::prepare, Does::register_again);
  EXPECT_EQ(world.update(), "done-with-losses");
  EXPECT_EQ(world.announced.count("Prepare cache"), 3U);
  ASSERT_EQ(newest().left_out.size(), 1U);
  EXPECT_EQ(newest().left_out.front().client, "cache");
  world.client("cache").always(ClientCall::prepare, Does::answer);
  expect_all_is_well(world);
}

/// The last look at the host waits; another client has used up the rounds.
class LastLookTest : public NewcomerTest {
 protected:
  void hold_last_look() {
    boot_two();
    world.client("cache").optional().preserves("cache", {1});
    world.client("cache").start();
    world.settle();
    world.client("cache").always(ClientCall::prepare, Does::register_again);
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] {
      return world.announced.count("Prepare cache") == 3 &&
             world.engine().state() == State::prepared;
    }));
    world.host().hold(target_queue);
    world.settle();
    world.client("cache").always(ClientCall::prepare, Does::answer);
  }
};

TEST_F(LastLookTest, ARequiredOneThatComesMeanwhileIsNotLeftRunning) {
  ASSERT_NO_FATAL_FAILURE(hold_last_look());
  world.client("late").preserves("late", {1});
  world.client("late").start();
  world.settle();
  world.host().release(target_queue);
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("'late' cannot be prepared: it came when"), std::string::npos)
      << world.reason();
  EXPECT_EQ(world.announced.count("Freeze guest"), 0U);
  EXPECT_EQ(world.kernels, 1U);
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Freeze late"), 1U);
  expect_all_is_well(world);
}

TEST_F(LastLookTest, AnOptionalOneIsLeftOutAndTold) {
  ASSERT_NO_FATAL_FAILURE(hold_last_look());
  world.client("late").optional();
  world.client("late").start();
  world.settle();
  world.host().release(target_queue);
  EXPECT_EQ(world.outcome(), "done-with-losses");
  ASSERT_EQ(newest().left_out.size(), 2U);
  EXPECT_EQ(newest().left_out.back().client, "late");
  EXPECT_NE(newest().left_out.back().reason.find("it came when"), std::string::npos);
  expect_all_is_well(world);
}

/// The word to freeze is on its way, and not taken yet.
TEST_F(NewcomerTest, WhoComesInTheLastTurnIsPreparedFirst) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  world.host().hold(target_queue);
  world.settle();
  world.host().release(target_queue);
  ASSERT_TRUE(world.host().step());  // the look; what follows it is posted
  world.host().post([&] {
    ClientRecord late;
    late.name = "late";
    world.engine().register_client(late, {Owner{0, ""}, ":1.99", ""},
                                   [](const Result<std::string>&) {});
  });
  EXPECT_EQ(world.outcome(), "failed");  // it does not answer
  EXPECT_EQ(world.announced.count("Prepare late"), 1U);
  EXPECT_EQ(world.announced.count("Freeze guest"), 0U);
  EXPECT_EQ(world.kernels, 1U);
  world.call([](Engine& engine) { engine.connection_gone(":1.99"); });
  expect_all_is_well(world);
}

TEST_F(NewcomerTest, WhoComesDuringTheCollapseIsNotForgotten) {
  boot_two();
  world.client("late").preserves("late", {1});
  ASSERT_TRUE(world.update_until(State::preparing));
  ASSERT_TRUE(world.run_until([&] { return world.machine.collapses > 0; }));
  world.client("late").start();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Freeze late"), world.announced.count("Prepare late"));
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Thaw is certain (D1), and the daemon does not stop before it (D12).
#include <gtest/gtest.h>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class ThawTest : public WorldTest {
 protected:
  /// An update that ends with everybody frozen.
  void fail_update() {
    world.machine.kexec_error = Error{ErrorCode::kexec_failed, "reboot: Device busy.", EBUSY};
    ASSERT_TRUE(world.request(JobType::update));
    world.outcome();
    world.machine.kexec_error.reset();
  }
};

TEST_F(ThawTest, IsCalledUntilItIsAnswered) {
  boot_two();
  guest().does(ClientCall::thaw, Does::veto, 6);
  fail_update();
  EXPECT_TRUE(disk().runs());
  expect_all_is_well(world);
  EXPECT_EQ(world.announced.count("Thaw guest"), 7U);
  EXPECT_EQ(world.statistic("thaws-repeated"), 5U);
  EXPECT_EQ(world.statistic("thaws-owed"), 0U);
}

TEST_F(ThawTest, IsCalledAgainAfterATimeOut) {
  boot_two();
  guest().does(ClientCall::thaw, Does::nothing, 2);
  fail_update();
  expect_all_is_well(world);
  EXPECT_EQ(world.announced.count("Thaw guest"), 3U);
}

TEST_F(ThawTest, LateAnswerCounts) {
  boot_two();
  guest().always(ClientCall::thaw, Does::nothing);
  fail_update();
  guest().answer_now();
  world.settle();
  EXPECT_TRUE(guest().runs());
  EXPECT_EQ(world.statistic("thaws-owed"), 0U);
  expect_all_is_well(world);
}

/// PID 1 gets the manifest's descriptors beside the freeze, and may refuse them when it is over.
TEST_F(ThawTest, FdStoreThatRefusesLateDoesNotEndIt) {
  boot_two();
  disk().takes(ClientCall::thaw, 3 * World::second);
  world.keep_frozen();
  ASSERT_TRUE(world.update_until(State::frozen, orderly()));
  world.settle();
  ASSERT_TRUE(world.cancel());
  world.run_for(World::second);
  ASSERT_EQ(world.engine().state(), State::thawing);
  ASSERT_EQ(disk().life(), Life::frozen);
  world.machine.fd_store.refuse_errno = ECONNREFUSED;
  world.machine.fd_store.refused_part = "manifest";
  world.let_go();
  EXPECT_EQ(world.outcome(), "cancelled");
  EXPECT_EQ(world.reason(), "Cancelled on request.");
  world.machine.fd_store.refuse_errno = 0;
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

TEST_F(ThawTest, IsRepeatedLessAndLessOften) {
  boot_two();
  guest().always(ClientCall::thaw, Does::veto);
  fail_update();
  const auto before = world.announced.count("Thaw guest");
  world.run_for(60 * World::second);
  const auto more = world.announced.count("Thaw guest") - before;
  EXPECT_GT(more, 10U);
  EXPECT_LT(more, 40U);
  guest().always(ClientCall::thaw, Does::answer);
  expect_all_is_well(world);
}

TEST_F(ThawTest, NextUpdateNamesWhoHasNotThawed) {
  boot_two();
  guest().always(ClientCall::thaw, Does::veto);
  fail_update();
  const auto refused = world.update();
  EXPECT_NE(refused.find("refused: "), std::string::npos) << refused;
  EXPECT_NE(refused.find("guest"), std::string::npos) << refused;
  guest().always(ClientCall::thaw, Does::answer);
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
}

TEST_F(ThawTest, EndsWhenTheClientIsGone) {
  boot_two();
  guest().always(ClientCall::thaw, Does::veto);
  fail_update();
  guest().leave();
  world.run_for(20 * World::second);
  EXPECT_EQ(world.statistic("thaws-owed"), 0U);
  guest().start();
  expect_all_is_well(world);
}

TEST_F(ThawTest, IsOwedByTheNextProcessToo) {
  boot_two();
  guest().always(ClientCall::thaw, Does::veto);
  fail_update();
  world.run_for(World::second);
  world.kill_daemon();
  guest().always(ClientCall::thaw, Does::answer);
  const auto before = world.announced.count("Thaw guest");
  // It does not register again by itself: it waits for its Thaw.
  guest().registers_again(false);
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  world.run_for(World::second);
  EXPECT_EQ(world.announced.count("Thaw guest"), before + 1);
  EXPECT_TRUE(guest().runs());
}

TEST_F(ThawTest, CancelIsOwedToo) {
  boot_two();
  guest().does(ClientCall::prepare, Does::veto);
  disk().does(ClientCall::cancel, Does::veto, 3);
  ASSERT_TRUE(world.request(JobType::update));
  world.outcome();
  expect_all_is_well(world);
  EXPECT_EQ(world.announced.count("Cancel disk"), 4U);
}

/// It would undo the next update, which has prepared the client anew.
TEST_F(ThawTest, CancelIsOwedUntilTheNextPrepareOnly) {
  boot_two();
  guest().does(ClientCall::prepare, Does::veto);
  disk().does(ClientCall::cancel, Does::veto, 100);
  ASSERT_TRUE(world.request(JobType::update));
  world.outcome();
  const auto before = world.announced.count("Cancel disk");
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Cancel disk"), before);
  expect_all_is_well(world);
}

/// The sentence of the update's end names it.
TEST_F(ThawTest, WhatIsOwedIsInTheRecord) {
  boot_two();
  guest().does(ClientCall::thaw, Does::veto);
  fail_update();
  EXPECT_NE(newest().reason.find("Client 'guest', Thaw"), std::string::npos) << newest().reason;
}

// ---- SIGTERM

class TerminateTest : public ThawTest, public testing::WithParamInterface<State> {};

TEST_P(TerminateTest, UndoesWhatIsUnderWay) {
  boot_two();
  if (GetParam() == State::preparing) guest().does(ClientCall::prepare, Does::nothing);
  if (GetParam() == State::freezing) disk().does(ClientCall::freeze, Does::nothing);
  if (GetParam() != State::normal) {
    const auto type = GetParam() == State::prepared ? JobType::prepare : JobType::update;
    ASSERT_TRUE(world.request(type));
    ASSERT_TRUE(world.run_until([&] { return world.engine().state() == GetParam(); }));
  }
  if (GetParam() != State::frozen) world.settle();
  bool stopped = false;
  world.call([&](Engine& engine) { EXPECT_TRUE(engine.terminate([&] { stopped = true; })); });
  if (!stopped) {
    // No new update begins.
    const auto refused = world.request(JobType::update);
    EXPECT_EQ(refused ? ErrorCode::internal : refused.error().code, ErrorCode::busy);
  }
  ASSERT_TRUE(world.run_until([&] { return stopped; }));
  EXPECT_EQ(world.engine().state(), State::normal);
  EXPECT_EQ(world.kernels, 1U);
  world.settle();
  EXPECT_TRUE(world.everybody_runs());
  EXPECT_FALSE(world.machine.target_loaded);
  if (GetParam() != State::normal) {
    EXPECT_EQ(newest().outcome, Outcome::cancelled);
  }
  world.kill_daemon();
  expect_all_is_well(world);
}

INSTANTIATE_TEST_SUITE_P(States, TerminateTest,
                         testing::Values(State::normal, State::preparing, State::prepared,
                                         State::freezing, State::frozen),
                         name_of_state);

TEST_F(ThawTest, TerminateWaitsForACancelThatIsUnderWay) {
  boot_two();
  guest().takes(ClientCall::cancel, World::second);
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  ASSERT_TRUE(world.cancel());
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::cancelling; }));
  bool stopped = false;
  world.call([&](Engine& engine) { EXPECT_TRUE(engine.terminate([&] { stopped = true; })); });
  EXPECT_FALSE(stopped);
  ASSERT_TRUE(world.run_until([&] { return stopped; }));
  EXPECT_EQ(world.engine().state(), State::normal);
}

TEST_F(ThawTest, TerminateIsRefusedWhileTheMachineLeaves) {
  boot_two();
  ASSERT_TRUE(world.update_until(State::rebooting, orderly()));
  world.settle();
  bool stopped = false;
  world.call([&](Engine& engine) {
    const auto done = engine.terminate([&] { stopped = true; });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::busy);
  });
  world.run_for(World::second);
  EXPECT_FALSE(stopped);
  world.finish_orderly_kexec();
  EXPECT_EQ(world.outcome(), "done");
}

TEST_F(ThawTest, TerminateLeavesARestoreToTheNextProcess) {
  boot_two();
  disk().takes(ClientCall::restore, 5 * World::second);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  bool stopped = false;
  world.call([&](Engine& engine) { EXPECT_TRUE(engine.terminate([&] { stopped = true; })); });
  EXPECT_TRUE(stopped);
  world.kill_daemon();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

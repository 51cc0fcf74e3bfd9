// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon dies and PID 1 starts it again, in each state.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class RestartTest : public WorldTest {
 protected:
  void restart() {
    world.kill_daemon();
    ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  }
};

TEST_F(RestartTest, InNormalNobodyNotices) {
  boot_two();
  restart();
  expect_all_is_well(world);
  EXPECT_EQ(calls(), Strings{});
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

TEST_F(RestartTest, AgainAndAgain) {
  boot_two();
  for (int i = 0; i < 5; ++i) {
    restart();
    expect_all_is_well(world);
  }
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

class RestartInTest : public RestartTest, public testing::WithParamInterface<State> {};

TEST_P(RestartInTest, EverythingIsUndone) {
  boot_two();
  if (GetParam() == State::preparing) guest().does(ClientCall::prepare, Does::nothing);
  if (GetParam() == State::freezing) disk().does(ClientCall::freeze, Does::nothing);
  if (GetParam() == State::cancelling) disk().does(ClientCall::cancel, Does::nothing);
  if (GetParam() == State::thawing) {
    guest().does(ClientCall::thaw, Does::nothing);
    world.machine.kexec_error = Error{ErrorCode::kexec_failed, "Device busy.", EBUSY};
  }
  const bool stops = GetParam() == State::prepared || GetParam() == State::cancelling;
  ASSERT_TRUE(world.request(stops ? JobType::prepare : JobType::update));
  if (stops) {
    ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  }
  if (GetParam() == State::cancelling) {
    ASSERT_TRUE(world.cancel());
  }
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == GetParam(); }));
  if (GetParam() != State::frozen) world.settle();
  restart();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_EQ(world.kernels, 1U);
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
  world.machine.kexec_error.reset();
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

INSTANTIATE_TEST_SUITE_P(States, RestartInTest,
                         testing::Values(State::preparing, State::prepared, State::cancelling,
                                         State::freezing, State::frozen, State::thawing),
                         name_of_state);

/// D14: PID 1 goes on with kexec.target, whoever asked for it.
TEST_F(RestartTest, InAnOrderlyKexecItIsWithdrawnBeforeAnybodyIsThawed) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  bool job_at_thaw = false;
  restart();
  world.before_step = [&] {
    if (world.announced.count("Thaw disk") == 0) return;
    job_at_thaw = job_at_thaw || world.pid_one.kexec_job;
  };
  EXPECT_EQ(world.outcome(), "failed");
  world.before_step = nullptr;
  EXPECT_EQ(world.pid_one.withdrawals, 1U);
  EXPECT_FALSE(job_at_thaw);
  expect_all_is_well(world);
}

TEST_F(RestartTest, InAnOrderlyKexecThatCannotBeWithdrawnEverybodyIsThawedAndItIsTold) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.withdraw_error = Error{ErrorCode::io, "PID 1 does not answer.", ETIMEDOUT};
  restart();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("PID 1 does not answer."), std::string::npos) << world.reason();
  expect_all_is_well(world);
}

TEST_F(RestartTest, AnOrderlyKexecIsWithdrawnBeforeAnybodyIsThawedAlsoIfTheBusIsAwayForSomeTime) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.withdraw_error = passing({ErrorCode::kexec_failed, "The bus is not there."});
  restart();
  world.run_for(5 * World::second);
  EXPECT_EQ(world.announced.count("Thaw disk"), 0U);
  world.pid_one.withdraw_error.reset();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_EQ(world.pid_one.withdrawals, 1U);
  expect_all_is_well(world);
}

/// Units stop for minutes, and the bus is one of them.
TEST_F(RestartTest, AnOrderlyKexecIsWithdrawnBeforeAnybodyIsThawedForThreeMinutes) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.withdraw_error = passing({ErrorCode::kexec_failed, "The bus is not there."});
  restart();
  world.run_for(170 * World::second);
  EXPECT_EQ(world.announced.count("Thaw disk"), 0U);
  world.run_for(20 * World::second);
  EXPECT_EQ(world.announced.count("Thaw disk"), 1U);
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("The bus is not there."), std::string::npos) << world.reason();
  expect_all_is_well(world);
}

/// How long each try takes is part of the three minutes.
TEST_F(RestartTest, TriesThatTakeTheirTimeMakeItNoLonger) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.withdraw_error = passing({ErrorCode::kexec_failed, "The bus is not there."});
  world.pid_one.withdraw_takes_usec = 30 * World::second;
  restart();
  world.run_for(175 * World::second);
  EXPECT_EQ(world.announced.count("Thaw disk"), 0U);
  world.run_for(10 * World::second);
  EXPECT_EQ(world.announced.count("Thaw disk"), 1U);
  EXPECT_EQ(world.outcome(), "failed");
  expect_all_is_well(world);
}

TEST_F(RestartTest, APidOneThatIsSilentIsWaitedForForTwoMinutes) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.withdraw_error =
      passing({ErrorCode::kexec_failed, "PID 1 does not answer.", ETIMEDOUT});
  world.pid_one.withdraw_takes_usec = 30 * World::second;
  restart();
  world.run_for(115 * World::second);
  EXPECT_EQ(world.announced.count("Thaw disk"), 0U);
  world.run_for(10 * World::second);
  EXPECT_EQ(world.announced.count("Thaw disk"), 1U);
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("PID 1 does not answer."), std::string::npos) << world.reason();
  expect_all_is_well(world);
}

/// It was asked for the kexec, and to take it back: that were the two minutes.
TEST_F(RestartTest, APidOneThatWasSilentIsNotWaitedForAgain) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.withdraw_error =
      passing({ErrorCode::kexec_failed, "PID 1 does not answer.", ETIMEDOUT});
  world.pid_one.withdraw_takes_usec = 30 * World::second;
  world.pid_one.kexec_failed(Error{ErrorCode::kexec_failed, "PID 1 does not answer.", ETIMEDOUT});
  world.run_for(World::second);
  EXPECT_EQ(world.announced.count("Thaw disk"), 1U);
  EXPECT_EQ(world.outcome(), "failed");
  expect_all_is_well(world);
}

TEST_F(RestartTest, BeforeAnImmediateKexecNothingIsWithdrawn) {
  boot_two();
  ASSERT_TRUE(world.update_until(State::rebooting));
  restart();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_EQ(world.pid_one.withdrawals, 0U);
  expect_all_is_well(world);
}

TEST_F(RestartTest, InTheRestoreItGoesOn) {
  boot_two();
  disk().takes(ClientCall::restore, World::second);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  world.run_for(World::second / 2);
  restart();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(world.lost_anything());
  EXPECT_EQ(world.announced.count("Restore guest"), 1U);
  expect_all_is_well(world);
}

TEST_F(RestartTest, WhoIsRestoredIsNotRestoredAgain) {
  boot_two();
  guest().takes(ClientCall::restore, World::second);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore guest") == 1; }));
  world.run_for(World::second / 2);
  ASSERT_TRUE(disk().runs());
  restart();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Restore disk"), 1U);
  expect_all_is_well(world);
}

TEST_F(RestartTest, DirectClientsComeBackToBeThawed) {
  world.client("disk").direct().preserves("disk", {1});
  world.client("guest").direct().needs({"disk"}).preserves("guest", {1});
  world.boot();
  disk().does(ClientCall::freeze, Does::nothing);
  ASSERT_TRUE(world.update_until(State::freezing));
  world.settle();
  ASSERT_EQ(guest().life(), Life::frozen);
  restart();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_EQ(guest().registrations().back(), "thawing");
  expect_all_is_well(world);
}

TEST_F(RestartTest, WhoLeftMeanwhileIsNotWaitedFor) {
  boot_two();
  disk().does(ClientCall::freeze, Does::nothing);
  ASSERT_TRUE(world.update_until(State::freezing));
  world.settle();
  world.restarts = false;
  world.kill_daemon();
  guest().leave();
  world.restarts = true;
  world.start_daemon();
  EXPECT_EQ(world.outcome(), "failed");
  guest().start();
  expect_all_is_well(world);
}

TEST_F(RestartTest, WhatTheFdStoreDidNotKeepIsTold) {
  boot_two();
  world.machine.fd_store.forget("session-1-s");
  world.machine.fd_store.forget("session-1-t1");
  world.machine.fd_store.forget("session-1-t2");
  world.machine.fd_store.close_forgotten();
  restart();
  expect_all_is_well(world);
  EXPECT_TRUE(world.announced.told_loss("disk", "disk"));
  EXPECT_FALSE(world.announced.told_loss("guest", "guest"));
}

TEST_F(RestartTest, WhatTheKernelLostIsMadeAgainFromTheFdStore) {
  boot_two();
  world.machine.fd_store.forget("session-1-s");
  world.machine.fd_store.close_forgotten();
  restart();
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

class UnreadableTest : public RestartTest, public testing::WithParamInterface<int> {};

/// "Not now" is not "none": whoever took it for that would forget every session.
TEST_P(UnreadableTest, ManifestThatCannotBeReadNowIsLeftToALaterProcess) {
  boot_two();
  world.machine.runtime.unreadable = GetParam();
  world.restarts = false;
  world.kill_daemon();
  world.start_daemon();
  world.settle();
  EXPECT_FALSE(world.ready());
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->sys_errno, GetParam());
  EXPECT_EQ(world.failed->nature, Nature::passing);
  EXPECT_EQ(world.machine.fd_store.size(), 5U);  // two sessions and three memfds
  world.kill_daemon();
  world.machine.runtime.unreadable = 0;
  world.start_daemon();
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

/// And one that is not known to be of this boot is not another's.
TEST_P(UnreadableTest, BootIdThatCannotBeReadNowIsLeftToALaterProcess) {
  boot_two();
  world.machine.boot_id_error = fail_errno("read boot_id", GetParam()).value();
  world.restarts = false;
  world.kill_daemon();
  world.start_daemon();
  world.settle();
  EXPECT_FALSE(world.ready());
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->nature, Nature::passing);
  EXPECT_EQ(world.machine.fd_store.size(), 5U);
  world.kill_daemon();
  world.machine.boot_id_error.reset();
  world.start_daemon();
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
}

INSTANTIATE_TEST_SUITE_P(Errnos, UnreadableTest, testing::Values(EIO, EMFILE, ENOMEM),
                         [](const auto& code) { return std::string(strerrorname_np(code.param)); });

TEST_F(RestartTest, ManifestOfThisBootThatIsUnusable) {
  boot_two();
  ASSERT_TRUE(world.machine.runtime.replace("manifest.json", "garbled"));
  restart();
  expect_all_is_well(world);
  EXPECT_TRUE(world.announced.told_loss("", ""));
  EXPECT_FALSE(newest().losses.empty());
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

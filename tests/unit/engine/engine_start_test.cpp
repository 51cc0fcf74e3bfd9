// SPDX-License-Identifier: LGPL-2.1-or-later
// The start in the next kernel, where not everything can be reached at once (D2).
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <string>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class StartTest : public WorldTest {
 protected:
  /// Into the next kernel, whose daemon has not started yet.
  void update_into_next_kernel() {
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] { return world.kernels == 2; }));
  }
};

TEST_F(StartTest, WaitsWhileSomebodyElseHasTheDevice) {
  boot_two();
  update_into_next_kernel();
  world.kernel->set_busy(true);
  world.run_for(20 * World::second);
  EXPECT_FALSE(world.ready());
  EXPECT_NE(world.host().status_line().find("manifest"), std::string::npos);
  world.kernel->set_busy(false);
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
}

TEST_F(StartTest, SaysSoWhereTheManifestStaysOutOfReach) {
  boot_two();
  update_into_next_kernel();
  world.kernel->set_busy(true);
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  EXPECT_TRUE(world.announced.told_loss("", ""));
  world.run_for(20 * World::second);
  EXPECT_EQ(newest().outcome, Outcome::failed);
  EXPECT_EQ(newest().losses.size(), 2U);  // each session by its name
  // What the kernel still has is left where it is.
  world.kernel->set_busy(false);
  EXPECT_TRUE(world.kernel->incoming("disk"));
  EXPECT_TRUE(world.kernel->incoming("guest"));
}

TEST_F(StartTest, ManifestThatDidNotComeIsTold) {
  boot_two();
  ASSERT_TRUE(world.update_until(State::frozen));
  world.power_cut();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  expect_all_is_well(world);
  EXPECT_TRUE(world.announced.told_loss("disk", "disk"));
  EXPECT_TRUE(world.announced.told_loss("guest", "guest"));
  EXPECT_EQ(newest().outcome, Outcome::failed);
  EXPECT_EQ(newest().losses.size(), 2U);
}

TEST_F(StartTest, SessionThatIsUnreachedIsAskedForAgain) {
  boot_two();
  update_into_next_kernel();
  world.refused_sessions["guest"] = EBUSY;
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  world.run_for(5 * World::second);
  EXPECT_TRUE(disk().runs());
  EXPECT_EQ(world.announced.count("Restore guest"), 0U);
  EXPECT_EQ(world.statistic("sessions-unreached"), 1U);
  EXPECT_FALSE(world.lost_anything());
  world.refused_sessions.clear();
  EXPECT_EQ(world.outcome(), "done");
  expect_all_is_well(world);
}

TEST_F(StartTest, SessionThatStaysOutOfReachIsTold) {
  world.config.claim_timeout_usec = 60 * World::second;
  boot_two();
  update_into_next_kernel();
  world.refused_sessions["guest"] = EBUSY;
  EXPECT_EQ(world.outcome(), "done-with-losses");
  EXPECT_TRUE(world.announced.told_loss("guest", "guest"));
  EXPECT_FALSE(world.announced.told_loss("disk", "disk"));
  world.refused_sessions.clear();
}

TEST_F(StartTest, SessionThatIsGoneIsToldAtOnce) {
  boot_two();
  update_into_next_kernel();
  world.refused_sessions["guest"] = ENOENT;
  EXPECT_EQ(world.outcome(), "done-with-losses");
  EXPECT_TRUE(world.announced.told_loss("guest", "guest"));
  EXPECT_EQ(world.announced.count("Restore guest"), 1U);  // it goes on without
  world.refused_sessions.clear();
}

TEST_F(StartTest, TokenThatCannotBeRestoredIsTold) {
  boot_two();
  update_into_next_kernel();
  world.kernel->break_token("disk", 2);
  EXPECT_EQ(world.outcome(), "done-with-losses");
  EXPECT_EQ(disk().carried(), (std::set<FakeClient::Place>{{"disk", 2}}));
  EXPECT_TRUE(world.announced.told_loss("disk", "disk"));
  expect_all_is_well(world);
}

TEST_F(StartTest, TokenThatNobodyRetrievesIsTold) {
  boot_two();
  disk().never_retrieves("disk", 2);
  EXPECT_EQ(world.update(), "done-with-losses");
  ASSERT_EQ(newest().losses.size(), 1U);
  EXPECT_NE(newest().losses.front().find("token 2"), std::string::npos);
  EXPECT_EQ(newest().outcome, Outcome::done_with_losses);
  expect_all_is_well(world);
}

class FullPidOneTest : public StartTest {
 protected:
  /// Descriptors that belong to no session on record, and nobody who reads what is said of them.
  void leave_unknown_descriptors() {
    const UniqueFd file(memfd_create("unknown", MFD_CLOEXEC));
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(world.machine.fd_store.store("session-9" + std::to_string(i) + "-s", file.get()));
    }
    world.machine.fd_store.full_usec = 5 * World::second;
  }
  /// Nobody's turn waits for each of them.
  void expect_ready_soon() {
    const auto began = world.machine.clock.now_usec();
    ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
    EXPECT_LE(world.machine.clock.now_usec() - began, 30 * World::second);
    world.machine.fd_store.full_usec = 0;
  }
};

TEST_F(FullPidOneTest, HoldsUpNoRestart) {
  boot_two();
  leave_unknown_descriptors();
  world.kill_daemon();
  ASSERT_NO_FATAL_FAILURE(expect_ready_soon());
  EXPECT_FALSE(world.lost_anything());
  // The next process finds them again.
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

TEST_F(FullPidOneTest, HoldsUpNoRestore) {
  boot_two();
  update_into_next_kernel();
  leave_unknown_descriptors();
  ASSERT_NO_FATAL_FAILURE(expect_ready_soon());
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(world.lost_anything());
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  expect_all_is_well(world);
}

TEST_F(FullPidOneTest, HoldsUpNoStartAfterADamagedManifest) {
  boot_two();
  ASSERT_TRUE(world.machine.runtime.replace("manifest.json", "garbled"));
  leave_unknown_descriptors();
  world.kill_daemon();
  ASSERT_NO_FATAL_FAILURE(expect_ready_soon());
  EXPECT_TRUE(world.announced.told_loss("", ""));
  EXPECT_TRUE(world.machine.waited_in_loop.empty());
}

/// D2c: a second copy that PID 1 refuses must not cost the first.
TEST_F(StartTest, FdStoreThatTakesNothingCostsNothing) {
  boot_two();
  update_into_next_kernel();
  world.machine.fd_store.refuse_errno = ECONNREFUSED;
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(world.lost_anything());
  world.machine.fd_store.refuse_errno = 0;
  world.run_for(60 * World::second);
  expect_all_is_well(world);
}

TEST_F(StartTest, RestoreThatAnswersLateCounts) {
  world.config.restore_timeout_usec = 2 * World::second;
  boot_two();
  disk().takes(ClientCall::restore, 10 * World::second);
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Restore disk"), 1U);
  EXPECT_FALSE(world.lost_anything());
  EXPECT_EQ(world.statistic("client-late-answers"), 1U);
  expect_all_is_well(world);
}

TEST_F(StartTest, RestoreThatNeverAnswersIsGivenUpAfterTheClaimTime) {
  world.config.claim_timeout_usec = 60 * World::second;
  boot_two();
  disk().does(ClientCall::restore, Does::nothing);
  EXPECT_EQ(world.update(), "done-with-losses");
  EXPECT_TRUE(world.announced.told_loss("disk", "disk"));
  EXPECT_TRUE(guest().runs());
  world.run_for(World::second);
  EXPECT_FALSE(world.kernel->incoming("disk"));
}

TEST_F(StartTest, TimeLimitStandsStillWhileTheDaemonWorks) {
  world.config.restore_timeout_usec = 2 * World::second;
  boot_two();
  update_into_next_kernel();
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  // The kernel takes its time over one of them.
  const auto id = world.engine().sessions().find("disk")->record.id;
  world.host().hold(session_queues + id);
  world.run_for(10 * World::second);
  world.host().release(session_queues + id);
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.statistic("client-late-answers"), 0U);
  expect_all_is_well(world);
}

TEST_F(StartTest, ClaimTimeBeginsWhenTheBootIsOver) {
  world.config.claim_timeout_usec = 60 * World::second;
  boot_two();
  guest().starts_after(1000 * World::second);
  world.pid_one.boot_is_over = false;
  update_into_next_kernel();
  world.run_for(900 * World::second);
  EXPECT_EQ(world.engine().state(), State::restoring);
  EXPECT_FALSE(world.lost_anything());
  world.run_for(110 * World::second);
  EXPECT_EQ(world.engine().state(), State::normal);
  EXPECT_FALSE(world.lost_anything());
  world.pid_one.boot_is_over = true;
  expect_all_is_well(world);
}

TEST_F(StartTest, WhoDoesNotComeInTheClaimTimeIsGivenUp) {
  world.config.claim_timeout_usec = 60 * World::second;
  boot_two();
  disk().stays_away();
  EXPECT_EQ(world.update(), "done-with-losses");
  EXPECT_TRUE(world.announced.told_loss("disk", "disk"));
  EXPECT_TRUE(guest().runs());  // after it
  expect_all_is_well(world);
}

TEST_F(StartTest, SessionOfNobodyWaitsForTheClaimTime) {
  world.config.claim_timeout_usec = 60 * World::second;
  boot_two();
  world.make_session("script", 3);
  EXPECT_EQ(world.update(), "done");
  EXPECT_TRUE(world.kernel->incoming("script"));
  world.run_for(90 * World::second);
  EXPECT_FALSE(world.kernel->incoming("script"));
  EXPECT_TRUE(world.announced.told_loss("script", "?"));
  EXPECT_EQ(newest().losses.size(), 3U);  // one a token
  EXPECT_EQ(newest().outcome, Outcome::done_with_losses);
  expect_all_is_well(world);
}

TEST_F(StartTest, ClientThatDiesInItsRestoreComesAgain) {
  boot_two();
  disk().does(ClientCall::restore, Does::leave);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  world.run_for(World::second);
  disk().start();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Restore disk"), 2U);
  expect_all_is_well(world);
}

/// The bus may tell of the dead process before it answers in its place.
TEST_F(StartTest, AnswerOfADeadProcessIsNotItsSuccessors) {
  boot_two();
  disk().does(ClientCall::restore, Does::nothing);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  world.settle();
  const auto dead = disk().connection();
  world.call([&](Engine& engine) { engine.connection_gone(dead); });
  disk().process_ended();
  disk().start();
  world.settle();
  ASSERT_EQ(disk().registrations().back(), "restoring");
  EXPECT_EQ(world.announced.count("Restore disk"), 1U);
  world.answer_for(dead);
  world.settle();
  EXPECT_EQ(world.announced.count("Restore disk"), 2U);
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_TRUE(disk().carried().empty());
  expect_all_is_well(world);
}

TEST_F(StartTest, SessionThatTheKernelCannotFinishNowIsFinishedLater) {
  boot_two();
  update_into_next_kernel();
  world.kernel->refuse_finish("disk", EBUSY);
  ASSERT_TRUE(world.run_until([&] { return disk().runs() && guest().runs(); }));
  world.run_for(10 * World::second);
  EXPECT_TRUE(world.kernel->incoming("disk"));
  EXPECT_FALSE(world.kernel->incoming("guest"));
  EXPECT_FALSE(world.lost_anything());
  world.kernel->refuse_finish("disk", 0);
  world.run_for(5 * World::second);  // long before the claim time, which would finish it, too
  EXPECT_FALSE(world.kernel->incoming("disk"));
  EXPECT_EQ(world.outcome(), "done");
  expect_all_is_well(world);
  EXPECT_FALSE(world.lost_anything());
}

/// What is lost is told before the update's end, also if the kernel frees it at the second try.
TEST_F(StartTest, LossIsToldBeforeTheEndThoughItIsFreedLater) {
  boot_two();
  disk().never_retrieves("disk", 2);
  update_into_next_kernel();
  world.kernel->refuse_finish("disk", EBUSY);
  ASSERT_TRUE(world.run_until([&] { return disk().runs() && guest().runs(); }));
  world.run_for(World::second);
  EXPECT_FALSE(world.lost_anything());
  EXPECT_EQ(world.engine().state(), State::restoring);
  world.kernel->refuse_finish("disk", 0);
  EXPECT_EQ(world.outcome(), "done-with-losses");
  ASSERT_EQ(world.announced.finished.size(), 1U);
  EXPECT_EQ(world.announced.finished.front().losses, 1U);
  EXPECT_EQ(newest().losses.size(), 1U);
  expect_all_is_well(world);
}

TEST_F(StartTest, ClientThatDiesWithHalfOfItsMemoryGetsAllOfIt) {
  boot_two();
  disk().takes(ClientCall::restore, World::second);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  world.settle();
  disk().leave();
  world.settle();
  disk().start();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_TRUE(disk().carried().empty());
  expect_all_is_well(world);
}

/// D5: it is here, it has answered, and nothing is kept for it.
TEST_F(StartTest, WhoFailsWithNothingLeftToClaimIsNotWaitedFor) {
  world.client("bare");
  boot_two();
  world.client("bare").always(ClientCall::restore, Does::veto);
  const auto before = world.machine.clock.now_usec();
  EXPECT_EQ(world.update(), "done-with-losses");
  EXPECT_LT(world.machine.clock.now_usec() - before, world.config.claim_timeout_usec);
  ASSERT_EQ(newest().losses.size(), 1U);
  EXPECT_NE(newest().losses.front().find("Not now, says bare."), std::string::npos)
      << newest().losses.front();
  EXPECT_TRUE(disk().runs());
  // It stands still, as it said, until it is started anew.
  world.client("bare").always(ClientCall::restore, Does::answer);
  world.client("bare").leave();
  world.client("bare").start();
  expect_all_is_well(world);
}

TEST_F(StartTest, WhoFailsIsWaitedForAndItsSentenceIsKept) {
  world.config.claim_timeout_usec = 60 * World::second;
  boot_two();
  disk().always(ClientCall::restore, Does::veto);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  world.run_for(30 * World::second);
  EXPECT_EQ(world.engine().state(), State::restoring);
  EXPECT_FALSE(world.lost_anything());
  disk().leave();
  EXPECT_EQ(world.outcome(), "done-with-losses");
  const auto losses = newest().losses;
  EXPECT_TRUE(std::any_of(losses.begin(), losses.end(), [](const std::string& loss) {
    return loss.find("Not now, says disk.") != std::string::npos;
  })) << lines(losses);
}

// ---- the configuration

TEST_F(StartTest, BadConfigurationIsBorrowedFromTheManifest) {
  world.config.claim_timeout_usec = 60 * World::second;
  world.config_text = R"({"claim_timeout": "60s"})";
  boot_two();
  world.config_problem = Error{ErrorCode::invalid_argument, "line 3: a comma is missing", 0};
  disk().stays_away();
  EXPECT_EQ(world.update(), "done-with-losses");
  EXPECT_TRUE(guest().runs());
  EXPECT_TRUE(world.engine().config_is_borrowed());
  EXPECT_LT(world.machine.clock.now_usec(), 1'000'000'000 + 120 * World::second);
  EXPECT_NE(world.host().status_line().find("configuration"), std::string::npos);
  world.call([&](Engine& engine) { engine.use_config(world.config, world.config_text); });
  EXPECT_FALSE(world.engine().config_is_borrowed());
}

TEST_F(StartTest, BadConfigurationWithNothingToGoOnWithEndsTheDaemon) {
  world.config_problem = Error{ErrorCode::invalid_argument, "line 3: a comma is missing", 0};
  world.start_daemon();
  world.settle();
  EXPECT_FALSE(world.ready());
  ASSERT_TRUE(world.failed);
  EXPECT_EQ(world.failed->message, "line 3: a comma is missing");
}

TEST_F(StartTest, BadConfigurationIsBorrowedAfterARestartToo) {
  world.config_text = "{}";
  boot_two();
  world.config_problem = Error{ErrorCode::invalid_argument, "line 3: a comma is missing", 0};
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  EXPECT_FALSE(world.failed);
  EXPECT_TRUE(world.engine().config_is_borrowed());
  expect_all_is_well(world);
}

/// The boot lost it; the daemon looks for it where it usually is.
TEST_F(StartTest, MissingConfigurationIsBorrowedFromTheManifest) {
  world.config_text = "{}";
  boot_two();
  world.config_missing = "/etc/handover/handoverd.json";
  EXPECT_EQ(world.update(), "done");
  EXPECT_TRUE(world.engine().config_is_borrowed());
  EXPECT_TRUE(world.config_borrowed);
  expect_all_is_well(world);
}

TEST_F(StartTest, MissingConfigurationInPeaceMeansTheDefaults) {
  world.config_text = "{}";
  boot_two();
  world.config_missing = "/etc/handover/handoverd.json";
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  EXPECT_FALSE(world.engine().config_is_borrowed());
  EXPECT_FALSE(world.config_borrowed);
  expect_all_is_well(world);
}

/// With state to tell of as lost the daemon goes on with the defaults.
TEST_F(StartTest, BadConfigurationBesideADamagedManifestIsLookedForAgain) {
  boot_two();
  ASSERT_TRUE(world.machine.runtime.replace("manifest.json", "garbled"));
  world.config_problem = Error{ErrorCode::invalid_argument, "line 3: a comma is missing", 0};
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  EXPECT_TRUE(world.config_borrowed);
}

// ---- the disk

TEST_F(StartTest, HistoryWaitsForItsFileSystem) {
  boot_two();
  update_into_next_kernel();
  world.machine.state.mounted = false;
  EXPECT_EQ(world.outcome(), "done");
  world.run_for(20 * World::second);
  EXPECT_FALSE(world.machine.state.has(StateFile::history));
  world.machine.state.mounted = true;
  EXPECT_EQ(world.history().size(), 1U);
  EXPECT_FALSE(world.machine.state.has(StateFile::pending));
  expect_all_is_well(world);
}

TEST_F(StartTest, LossOfAnUpdateIsToldAsSoonAsItsRecordCanBeRead) {
  boot_two();
  ASSERT_TRUE(world.update_until(State::frozen));
  world.machine.state.mounted = false;
  world.power_cut();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  world.run_for(20 * World::second);
  EXPECT_FALSE(world.lost_anything());
  world.machine.state.mounted = true;
  expect_all_is_well(world);
  EXPECT_TRUE(world.announced.told_loss("disk", "disk"));
  EXPECT_EQ(newest().losses.size(), 2U);
}

TEST_F(StartTest, SettledIsToldOnce) {
  boot_two();
  EXPECT_TRUE(world.settled);
  disk().takes(ClientCall::restore, World::second);
  update_into_next_kernel();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  EXPECT_FALSE(world.settled);
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_TRUE(world.settled);
}

}  // namespace
}  // namespace handover::engine::test

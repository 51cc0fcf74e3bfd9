// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel refuses to take back for a while (D6), and a fd store that is full.
#include <gtest/gtest.h>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class DegradedTest : public WorldTest {
 protected:
  Result<void> unpreserve(FakeClient& client, const std::string& session, std::uint64_t token) {
    std::optional<Result<void>> answer;
    world.call([&](Engine& engine) {
      engine.unpreserve(session, token, client.caller(),
                        [&](Result<void> done) { answer = std::move(done); });
    });
    EXPECT_TRUE(world.run_until([&] { return answer.has_value(); }));
    return answer ? *answer : fail(ErrorCode::internal, "no answer");
  }
};

TEST_F(DegradedTest, UnpreserveCostsTheOthersNothing) {
  world.client("disk").preserves("disk", {1, 2, 3});
  world.boot();
  EXPECT_TRUE(unpreserve(disk(), "disk", 2));
  EXPECT_EQ(world.kernel->outgoing("disk"), (std::set<std::uint64_t>{1, 3}));
  EXPECT_EQ(world.engine().sessions().find("disk")->record.tokens.size(), 2U);
}

TEST_F(DegradedTest, IsToldAndMended) {
  world.client("disk").preserves("disk", {1, 2, 3});
  world.boot();
  world.kernel->refuse_create("disk", ENOMEM);
  (void)unpreserve(disk(), "disk", 2);
  EXPECT_EQ(world.statistic("sessions-degraded"), 1U);
  EXPECT_TRUE(world.announced.told_loss("disk", "disk"));
  // All that should be there is on record.
  EXPECT_GE(world.engine().sessions().find("disk")->record.tokens.size(), 2U);
  world.run_for(10 * World::second);
  EXPECT_EQ(world.statistic("sessions-degraded"), 1U);
  world.kernel->refuse_create("disk", 0);
  world.run_for(10 * World::second);
  EXPECT_EQ(world.statistic("sessions-degraded"), 0U);
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

/// No update carried it: the last one's record stays as it is.
TEST_F(DegradedTest, LossOutsideAnUpdateIsToldAndChangesNoRecord) {
  world.client("disk").preserves("disk", {1, 2, 3});
  world.boot();
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
  world.kernel->refuse_preserve("disk", 1, EINVAL);
  (void)unpreserve(disk(), "disk", 2);
  world.kernel->refuse_preserve("disk", 1, 0);
  EXPECT_TRUE(world.announced.told_loss("disk", "disk"));
  EXPECT_EQ(world.statistic("losses"), 1U);
  world.run_for(10 * World::second);
  EXPECT_EQ(newest().outcome, Outcome::done);
  EXPECT_EQ(lines(newest().losses), "");
  EXPECT_EQ(newest().reason, "");
}

/// It has failed its Restore, and is called again when it registers again, not before.
TEST_F(DegradedTest, MendedNewSessionIsNoReasonToCallRestoreAgain) {
  world.client("disk").preserves("disk", {1});
  world.boot();
  disk().does(ClientCall::restore, Does::veto);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  world.settle();
  world.call([&](Engine& engine) {
    engine.create_session("new", std::nullopt, "disk", disk().caller(), [](const Result<void>&) {});
  });
  world.settle();
  ASSERT_TRUE(world.preserve(disk(), "new", 1));
  ASSERT_TRUE(world.preserve(disk(), "new", 2));
  world.kernel->refuse_create("new", ENOMEM);
  (void)unpreserve(disk(), "new", 2);
  ASSERT_EQ(world.statistic("sessions-degraded"), 1U);
  world.kernel->refuse_create("new", 0);
  world.run_for(10 * World::second);
  EXPECT_EQ(world.statistic("sessions-degraded"), 0U);
  EXPECT_EQ(world.announced.count("Restore disk"), 1U);
  EXPECT_EQ(world.engine().state(), State::restoring);
  disk().leave();
  world.settle();
  disk().start();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Restore disk"), 2U);
}

TEST_F(DegradedTest, NoUpdateFreezesMeanwhile) {
  boot_two();
  world.kernel->refuse_create("disk", ENOMEM);
  (void)unpreserve(disk(), "disk", 2);
  const auto refused = world.update();
  EXPECT_NE(refused.find("refused"), std::string::npos) << refused;
  EXPECT_NE(refused.find("disk"), std::string::npos) << refused;
  EXPECT_EQ(calls(), Strings{});
  world.kernel->refuse_create("disk", 0);
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
}

TEST_F(DegradedTest, ByTheCollapseOfAnUpdate) {
  boot_two();
  world.kernel->refuse_create("guest", ENOMEM);
  ASSERT_TRUE(world.request(JobType::update));
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("guest"), std::string::npos) << world.reason();
  EXPECT_EQ(world.kernels, 1U);
  world.kernel->refuse_create("guest", 0);
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

TEST_F(DegradedTest, TheDaemonDiesBeforeItIsMended) {
  world.client("disk").preserves("disk", {1, 2, 3});
  world.boot();
  world.kernel->refuse_create("disk", ENOMEM);
  (void)unpreserve(disk(), "disk", 2);
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  world.run_for(10 * World::second);
  world.kernel->refuse_create("disk", 0);
  expect_all_is_well(world);
  EXPECT_TRUE(world.kernel->outgoing("disk")->contains(1));
  EXPECT_TRUE(world.kernel->outgoing("disk")->contains(3));
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

TEST_F(DegradedTest, PreserveThatTheFdStoreRefusesIsUndone) {
  boot_two();
  world.machine.fd_store.refuse_errno = ECONNREFUSED;
  world.machine.fd_store.refused_part = "-t7";
  const auto done = world.preserve(disk(), "disk", 7);
  EXPECT_FALSE(done);
  EXPECT_FALSE(world.kernel->outgoing("disk")->contains(7));
  EXPECT_TRUE(world.kernel->outgoing("disk")->contains(1));
  expect_all_is_well(world);
  world.machine.fd_store.refuse_errno = 0;
  EXPECT_TRUE(world.preserve(disk(), "disk", 7));
  EXPECT_TRUE(world.kernel->outgoing("disk")->contains(7));
}

TEST_F(DegradedTest, SessionThatTheFdStoreRefusesIsNotMade) {
  world.client("disk");
  world.boot();
  world.machine.fd_store.refuse_errno = ECONNREFUSED;
  world.client("disk").preserves("disk", {1}).preserve_what_is_missing();
  world.run_for(World::second);
  EXPECT_EQ(world.kernel->outgoing("disk"), std::nullopt);
  EXPECT_TRUE(world.engine().sessions().all().empty());
  EXPECT_EQ(world.statistic("charged-sessions"), 0U);
  world.machine.fd_store.refuse_errno = 0;
  expect_all_is_well(world);
}

TEST_F(DegradedTest, LimitsAreGivenBack) {
  world.config.max_descriptors_per_user = 3;
  boot_two();  // three in all
  const auto refused = world.preserve(disk(), "disk", 7);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_TRUE(unpreserve(disk(), "disk", 1));
  EXPECT_TRUE(world.preserve(disk(), "disk", 7));
}

TEST_F(DegradedTest, NothingIsPreservedBehindTheBackOfAFrozenUpdate) {
  boot_two();
  disk().takes(ClientCall::freeze, World::second);
  ASSERT_TRUE(world.update_until(State::freezing));
  const auto refused = world.preserve(disk(), "disk", 7);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_EQ(world.outcome(), "done");
}

/// Preserved memory must have the last word before this kernel is left.
TEST_F(DegradedTest, NoKexecWhileTheManifestIsNotInPreservedMemory) {
  world.kernel->refuse_create("handoverd", ENOMEM);
  boot_two();
  EXPECT_EQ(world.update().substr(0, 4), "fail");
  EXPECT_EQ(world.kernels, 1U);
  world.kernel->refuse_create("handoverd", 0);
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

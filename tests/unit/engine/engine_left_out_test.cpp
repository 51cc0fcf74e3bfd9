// SPDX-License-Identifier: LGPL-2.1-or-later
// Updates that go on without an optional client, and what becomes of its state (D7).
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class LeftOutTest : public WorldTest {
 protected:
  void boot_with_optional() {
    world.client("disk").preserves("disk", {1});
    world.client("cache").optional().preserves("cache", {1, 2});
    world.boot();
  }
  FakeClient& cache() { return world.client("cache"); }
  void expect_discarded(const std::string& why) {
    EXPECT_EQ(world.outcome(), "done-with-losses");
    EXPECT_EQ(world.kernels, 2U);
    EXPECT_EQ(world.announced.count("Restore cache"), 0U);
    EXPECT_TRUE(world.announced.told_loss("cache", "cache"));
    EXPECT_FALSE(world.announced.told_loss("disk", "disk"));
    expect_all_is_well(world);
    const auto entry = newest();
    ASSERT_EQ(entry.left_out.size(), 1U);
    EXPECT_EQ(entry.left_out.front().client, "cache");
    EXPECT_NE(entry.left_out.front().reason.find(why), std::string::npos)
        << entry.left_out.front().reason;
    EXPECT_EQ(entry.outcome, Outcome::done_with_losses);
    EXPECT_EQ(entry.losses.size(), 1U);
    EXPECT_FALSE(world.kernel->incoming("cache"));
    EXPECT_EQ(world.update(), "done");  // everybody is in again
    EXPECT_TRUE(newest().left_out.empty());
  }
};

TEST_F(LeftOutTest, VetoAtFreezeDiscardsAndTells) {
  boot_with_optional();
  cache().does(ClientCall::freeze, Does::veto);
  ASSERT_TRUE(world.request(JobType::update));
  expect_discarded("Not now, says cache.");
}

TEST_F(LeftOutTest, NoAnswerToFreeze) {
  boot_with_optional();
  cache().does(ClientCall::freeze, Does::nothing);
  ASSERT_TRUE(world.request(JobType::update));
  expect_discarded("time limit");
}

TEST_F(LeftOutTest, VetoAtPrepare) {
  boot_with_optional();
  cache().does(ClientCall::prepare, Does::veto);
  ASSERT_TRUE(world.request(JobType::update));
  expect_discarded("Prepare: Not now");
}

TEST_F(LeftOutTest, IsNotThere) {
  boot_with_optional();
  cache().leave();
  world.settle();
  ASSERT_TRUE(world.request(JobType::update));
  expect_discarded("it was not here");
}

TEST_F(LeftOutTest, LeavesBetweenPrepareAndFreeze) {
  boot_with_optional();
  disk().takes(ClientCall::freeze, World::second);
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  cache().leave();
  world.settle();
  ASSERT_TRUE(world.request(JobType::update));
  expect_discarded("it was not here");
}

TEST_F(LeftOutTest, ComesTooLateToBePrepared) {
  boot_with_optional();
  disk().takes(ClientCall::freeze, World::second);
  cache().leave();
  world.settle();
  ASSERT_TRUE(world.update_until(State::freezing));
  cache().start();
  world.settle();
  EXPECT_NE(cache().registrations().back().find("freezing"), std::string::npos);
  expect_discarded("it was not here");
}

TEST_F(LeftOutTest, IsThawedAtOnceAndUntilItAnswers) {
  boot_with_optional();
  disk().takes(ClientCall::freeze, 3 * World::second);
  cache().does(ClientCall::freeze, Does::veto).does(ClientCall::thaw, Does::veto, 3);
  ASSERT_TRUE(world.update_until(State::freezing));
  world.run_for(2 * World::second);
  EXPECT_EQ(world.engine().state(), State::freezing);
  EXPECT_EQ(world.announced.count("Thaw cache"), 4U);
  EXPECT_TRUE(cache().runs());
  expect_discarded("Not now");
}

TEST_F(LeftOutTest, IsRestoredAllTheSameByConfiguration) {
  world.config.clients["cache"].if_not_frozen = IfNotFrozen::restore;
  boot_with_optional();
  cache().does(ClientCall::freeze, Does::veto);
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Restore cache"), 1U);
  EXPECT_FALSE(cache().restored_quiesced());
  EXPECT_TRUE(disk().restored_quiesced());
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
  ASSERT_EQ(newest().left_out.size(), 1U);
}

TEST_F(LeftOutTest, RestoreOfAnOptionalClientFailsAndItIsGivenUp) {
  boot_with_optional();
  cache().does(ClientCall::restore, Does::veto);
  EXPECT_EQ(world.update(), "done-with-losses");
  EXPECT_TRUE(world.announced.told_loss("", "cache"));
  EXPECT_TRUE(world.announced.told_loss("cache", "cache"));
  world.run_for(World::second);
  EXPECT_FALSE(world.kernel->incoming("cache"));
}

TEST_F(LeftOutTest, OthersDoNotWaitForItsRestore) {
  boot_with_optional();
  world.client("guest").needs({"cache"}).preserves("guest", {1});
  world.client("guest").start();
  world.settle();
  cache().does(ClientCall::freeze, Does::veto);
  EXPECT_EQ(world.update(), "done-with-losses");
  EXPECT_TRUE(guest().runs());
  expect_all_is_well(world);
}

TEST_F(LeftOutTest, TheDaemonDiesBeforeTheStateIsDiscarded) {
  boot_with_optional();
  disk().takes(ClientCall::restore, 10 * World::second);
  cache().does(ClientCall::freeze, Does::veto);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.kernels == 2 && world.ready(); }));
  world.kill_daemon();
  EXPECT_EQ(world.outcome(), "done-with-losses");
  EXPECT_EQ(world.announced.count("Restore cache"), 0U);
  expect_all_is_well(world);
}

/// What its client asks for by these names is meant for new sessions, whenever it asks.
TEST_F(LeftOutTest, ItsSessionsWaitForTheirNamesUntilTheOldOnesAreGone) {
  boot_with_optional();
  cache().does(ClientCall::freeze, Does::veto);
  cache().starts_after(World::hour);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.kernels == 2 && world.daemon_is_here(); }));
  ASSERT_TRUE(world.run_until([&] { return world.engine().sessions().find("cache") != nullptr; }));
  const auto* old = world.engine().sessions().find("cache");
  const auto id = old->record.id;
  ASSERT_EQ(old->standing, Standing::adopting);
  world.host().hold(session_queues + id);
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  std::optional<Result<void>> created;
  std::optional<Result<void>> preserved;
  world.call([&](Engine& engine) {
    engine.create_session("cache", std::nullopt, "", cache().caller(),
                          [&](Result<void> done) { created = std::move(done); });
    UniqueFd memory(memfd_create("new", MFD_CLOEXEC));
    engine.preserve("cache", 7, std::move(memory), false, std::nullopt, cache().caller(),
                    [&](Result<void> done) { preserved = std::move(done); });
  });
  world.settle();
  EXPECT_FALSE(created);
  EXPECT_FALSE(preserved);
  world.host().release(session_queues + id);
  ASSERT_TRUE(world.run_until([&] { return created && preserved; }, World::second));
  EXPECT_TRUE(*created) << created->error().message;
  EXPECT_TRUE(*preserved) << preserved->error().message;
  EXPECT_NE(world.engine().sessions().find("cache")->record.id, id);
}

/// Nobody would take it away before the next update, and its name would be taken.
TEST_F(LeftOutTest, IsForgottenWithTheLastOfItsSessions) {
  world.client("disk").preserves("one", {1}).preserves("two", {1});
  world.boot();
  const Caller root{Owner{0, ""}, ":1.0", ""};
  const auto discard = [&](const std::string& session) {
    world.call([&](Engine& engine) {
      engine.discard(session, root, [](const Result<void>& done) { EXPECT_TRUE(done); });
    });
    world.settle();
  };
  discard("one");
  disk().leave();
  world.settle();
  EXPECT_TRUE(world.engine().clients().contains("disk"));
  discard("two");
  EXPECT_TRUE(world.engine().clients().empty());
  EXPECT_EQ(world.statistic("charged-clients"), 0U);
}

}  // namespace
}  // namespace handover::engine::test

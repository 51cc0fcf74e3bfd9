// SPDX-License-Identifier: LGPL-2.1-or-later
// Clients that unregister while an update is prepared or runs.
#include <gtest/gtest.h>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class LeaveTest : public WorldTest {
 protected:
  Result<void> unregister(FakeClient& client) { return unregister(client.name(), client.caller()); }
  Result<void> unregister(const std::string& name, const Caller& caller) {
    std::optional<Result<void>> answer;
    world.call([&](Engine& engine) {
      engine.unregister_client(name, caller, [&](Result<void> done) { answer = std::move(done); });
    });
    EXPECT_TRUE(world.run_until([&] { return answer.has_value(); }));
    return answer ? *answer : fail(ErrorCode::internal, "no answer");
  }
  void boot_with_gate(bool required) {
    boot_two();
    auto& gate = world.client("gate");
    if (!required) gate.optional();
    gate.start();
    world.settle();
  }
  FakeClient& gate() { return world.client("gate"); }
  bool reaches(State state) {
    return world.run_until([&] { return world.engine().state() == state; });
  }
  /// Optional; it leaves when it is to be prepared.
  FakeClient& boot_with_cache() {
    boot_two();
    auto& cache = world.client("cache").optional().preserves("cache", {1});
    cache.start();
    world.settle();
    return cache.does(ClientCall::prepare, Does::leave);
  }
  /// While the other is still being prepared.
  void leave_and_come_again() {
    disk().does(ClientCall::prepare, Does::nothing);
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] { return world.announced.count("Prepare cache") == 1; }));
    world.settle();
    world.client("cache").start();
    world.settle();
    disk().answer_now();
  }
  bool is_registered(const std::string& name) { return world.engine().clients().contains(name); }
};

TEST_F(LeaveTest, ARequiredOneEndsThePreparedUpdateByItsName) {
  boot_with_gate(true);
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(reaches(State::prepared));
  EXPECT_TRUE(unregister(gate()));
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_EQ(world.reason(), "Client 'gate' has unregistered in state prepared.");
  EXPECT_EQ(newest().client, "gate");
  EXPECT_EQ(world.announced.count("Cancel disk"), 1U);
  EXPECT_EQ(world.announced.count("Cancel gate"), 0U);
  EXPECT_FALSE(is_registered("gate"));
  EXPECT_EQ(world.update(), "done");
}

TEST_F(LeaveTest, WithoutAnOptionalOneThePreparedUpdateGoesOn) {
  boot_with_gate(false);
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(reaches(State::prepared));
  EXPECT_TRUE(unregister(gate()));
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Freeze gate"), 0U);
  EXPECT_EQ(world.announced.count("Prepare disk"), 1U);
  EXPECT_TRUE(newest().left_out.empty());
}

/// It has not answered Prepare, and nobody waits for that any more.
TEST_F(LeaveTest, AnOptionalOneInTheMiddleOfItsPrepare) {
  boot_with_gate(false);
  gate().does(ClientCall::prepare, Does::nothing);
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Prepare gate") == 1; }));
  EXPECT_TRUE(unregister(gate()));
  EXPECT_TRUE(
      world.run_until([&] { return world.engine().state() == State::prepared; }, World::second));
  gate().answer_now();
  world.settle();
  EXPECT_EQ(world.update(), "done");
}

TEST_F(LeaveTest, ARequiredOneInTheMiddleOfItsPrepare) {
  boot_with_gate(true);
  gate().does(ClientCall::prepare, Does::nothing);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Prepare gate") == 1; }));
  EXPECT_TRUE(unregister(gate()));
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("'gate' has unregistered"), std::string::npos) << world.reason();
  EXPECT_TRUE(world.everybody_runs());
}

/// A service that is restarted while an update is prepared.
TEST_F(LeaveTest, AnOptionalOneThatComesAgainIsCarried) {
  boot_two();
  world.client("cache").optional().preserves("cache", {1});
  world.client("cache").start();
  world.settle();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(reaches(State::prepared));
  auto& cache = world.client("cache");
  EXPECT_TRUE(unregister(cache));
  cache.leave();
  world.settle();
  cache.start();
  world.settle();
  ASSERT_TRUE(is_registered("cache"));
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Prepare cache"), 2U);
  EXPECT_EQ(world.announced.count("Restore cache"), 1U);
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
}

/// It would not be told that it is prepared no more.
TEST_F(LeaveTest, NobodyIsUnregisteredByAnotherMeanwhile) {
  boot_with_gate(false);
  const Caller root{Owner{0, ""}, ":1.0", ""};
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(reaches(State::prepared));
  const auto refused = unregister("gate", root);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  gate().leave();
  world.settle();
  EXPECT_TRUE(unregister("gate", root));
  EXPECT_EQ(world.update(), "done");
}

TEST_F(LeaveTest, NobodyLeavesWhileOthersStandStill) {
  boot_with_gate(false);
  disk().takes(ClientCall::freeze, World::second);
  ASSERT_TRUE(world.update_until(State::freezing));
  const auto refused = unregister(gate());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_EQ(world.outcome(), "done");
}

TEST_F(LeaveTest, WhoIsRestoredMayLeaveBeforeTheOthersAre) {
  boot_with_gate(true);
  guest().stays_away();
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore gate") == 1; }));
  world.settle();
  ASSERT_EQ(world.engine().state(), State::restoring);
  EXPECT_TRUE(unregister(gate()));
  EXPECT_FALSE(is_registered("gate"));
  EXPECT_EQ(world.outcome(), "done-with-losses");
  for (const auto& loss : world.announced.losses) EXPECT_EQ(loss.client, "guest") << loss.reason;
}

TEST_F(LeaveTest, WhoIsStillToRestoreMayNot) {
  boot_two();
  disk().takes(ClientCall::restore, World::second);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
  const auto refused = unregister(disk());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_EQ(world.outcome(), "done");
}

/// An optional client that failed in Prepare, and comes anew while others prepare, is carried.
TEST_F(LeaveTest, WhoWasLeftOutAndComesAgainIsCarried) {
  boot_with_cache();
  leave_and_come_again();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Freeze cache"), 1U);
  EXPECT_EQ(world.announced.count("Restore cache"), 1U);
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
  EXPECT_TRUE(newest().left_out.empty());
}

/// The daemon of the new kernel reads it from the manifest's changes.
TEST_F(LeaveTest, WhoComesAgainAndVetoesTheFreezeIsLeftOutForThat) {
  boot_with_cache().does(ClientCall::freeze, Does::veto);
  leave_and_come_again();
  EXPECT_EQ(world.outcome(), "done-with-losses");
  ASSERT_EQ(newest().left_out.size(), 1U);
  EXPECT_NE(newest().left_out.front().reason.find("Freeze"), std::string::npos);
}

}  // namespace
}  // namespace handover::engine::test

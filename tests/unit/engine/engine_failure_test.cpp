// SPDX-License-Identifier: LGPL-2.1-or-later
// Updates that end before the kexec: somebody refuses, leaves, or takes too long.
#include <gtest/gtest.h>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class FailureTest : public WorldTest {
 protected:
  void expect_failed(const std::string& reason) {
    EXPECT_EQ(world.outcome(), "failed");
    EXPECT_NE(world.reason().find(reason), std::string::npos) << world.reason();
    EXPECT_EQ(world.kernels, 1U);
    EXPECT_FALSE(world.lost_anything());
    expect_all_is_well(world);
    const auto entry = newest();
    EXPECT_EQ(entry.outcome, Outcome::failed);
    EXPECT_EQ(entry.reason, world.reason());
    // And the next one is not in its way.
    EXPECT_EQ(world.update(), "done");
    expect_all_is_well(world);
  }
};

TEST_F(FailureTest, VetoAtPrepare) {
  boot_two();
  guest().does(ClientCall::prepare, Does::veto);
  ASSERT_TRUE(world.request(JobType::update));
  world.outcome();
  EXPECT_EQ(calls(), (Strings{"Prepare disk", "Prepare guest", "Cancel disk", "Cancel guest"}));
  expect_failed("Client 'guest', Prepare: Not now, says guest.");
}

TEST_F(FailureTest, VetoAtFreeze) {
  boot_two();
  disk().does(ClientCall::freeze, Does::veto);
  ASSERT_TRUE(world.request(JobType::update));
  world.outcome();
  expect_order({"Freeze guest", "Freeze disk", "Thaw disk", "Thaw guest"});
  EXPECT_TRUE(guest().runs());
  expect_failed("Client 'disk', Freeze: Not now, says disk.");
}

TEST_F(FailureTest, NoAnswerToFreeze) {
  boot_two();
  guest().does(ClientCall::freeze, Does::nothing);
  ASSERT_TRUE(world.request(JobType::update));
  expect_failed("Client 'guest', Freeze: It did not answer in its time limit.");
}

TEST_F(FailureTest, LateAnswerToFreezeIsNoFreeze) {
  boot_two();
  guest().does(ClientCall::freeze, Does::nothing);
  ASSERT_TRUE(world.update_until(State::thawing));
  guest().answer_now();  // frozen now; Thaw is on its way
  expect_failed("time limit");
}

TEST_F(FailureTest, FreezeHasABudgetAsAWhole) {
  world.config.freeze_budget_usec = World::second;
  world.config.clients["guest"].freeze_timeout_usec = World::hour;
  boot_two();
  guest().does(ClientCall::freeze, Does::nothing);
  const auto before = world.machine.clock.now_usec();
  ASSERT_TRUE(world.request(JobType::update));
  world.outcome();
  EXPECT_LT(world.machine.clock.now_usec() - before, 10 * World::second);
  expect_failed("'guest'");
}

TEST_F(FailureTest, ManyInARowUseUpTheBudgetTogether) {
  world.config.freeze_budget_usec = 3 * World::second;
  world.config.freeze_timeout_usec = 2 * World::second;
  world.client("a").preserves("a", {1});
  world.client("b").needs({"a"});
  world.client("c").needs({"b"});
  for (const auto* name : {"a", "b", "c"}) {
    world.client(name).takes(ClientCall::freeze, 1'500'000);
  }
  world.boot();
  ASSERT_TRUE(world.request(JobType::update));
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("freeze_budget"), std::string::npos) << world.reason();
  expect_all_is_well(world);
}

TEST_F(FailureTest, FreezeHasABudgetAlsoForTheSeal) {
  world.config.freeze_budget_usec = World::second;
  boot_two();
  world.keep_frozen();
  const auto before = world.machine.clock.now_usec();
  ASSERT_TRUE(world.request(JobType::update));
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_LT(world.machine.clock.now_usec() - before, 2 * World::second);
  world.let_go();
  expect_failed("freeze_budget (1000 ms); it waited for the manifest");
}

TEST_F(FailureTest, NamesSomeOfThoseWhoUsedTheBudgetUp) {
  world.config.freeze_budget_usec = World::second;
  world.config.freeze_timeout_usec = World::hour;
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) {
    world.client(name).does(ClientCall::freeze, Does::nothing);
  }
  world.boot();
  ASSERT_TRUE(world.request(JobType::update));
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("it waited for clients 'a', 'b', 'c', 'd', 'e' and 2 more."),
            std::string::npos)
      << world.reason();
  EXPECT_EQ(newest().client, "a");
  EXPECT_EQ(newest().call, "Freeze");
  expect_all_is_well(world);
}

TEST(UpdateFailureTest, WhatIsAddedHasAnEnd) {
  Update update;
  update.begin(1, Mode::immediate, {}, "7.3.0", "uid 0", 1);
  update.fail(Error{ErrorCode::vetoed, "Not now.", 0});
  update.add_to_failure("Client 'a' is gone.");
  EXPECT_EQ(update.failure()->message, "Not now. Client 'a' is gone.");
  for (int i = 0; i < 10'000; ++i) update.add_to_failure("Client 'b' is gone, too.");
  const auto& message = update.failure()->message;
  EXPECT_LT(message.size(), 8192U);
  EXPECT_TRUE(message.starts_with("Not now. Client 'a' is gone. Client 'b'"));
  EXPECT_TRUE(message.ends_with("too. And more; see the journal.")) << message;
}

// ---- a client leaves

class LeaveTest : public FailureTest, public testing::WithParamInterface<State> {};

/// In each state in which it counts; with whatever is under way then.
TEST_P(LeaveTest, RequiredClientLeavesAndTheUpdateEnds) {
  boot_two();
  // Keeps the update in that state.
  switch (GetParam()) {
    case State::preparing:
      disk().does(ClientCall::prepare, Does::nothing);
      break;
    case State::freezing:
      disk().does(ClientCall::freeze, Does::nothing);
      break;
    default:
      break;
  }
  if (GetParam() == State::frozen) world.keep_frozen();
  const auto type = GetParam() == State::prepared ? JobType::prepare : JobType::update;
  ASSERT_TRUE(world.request(type));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == GetParam(); }));
  world.settle();
  guest().leave();
  world.settle();
  world.let_go();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("'guest'"), std::string::npos) << world.reason();
  EXPECT_EQ(world.kernels, 1U);
  EXPECT_TRUE(disk().runs());
  guest().start();
  expect_all_is_well(world);
}

INSTANTIATE_TEST_SUITE_P(States, LeaveTest,
                         testing::Values(State::preparing, State::prepared, State::freezing,
                                         State::frozen),
                         name_of_state);

class LeaveTogetherTest : public LeaveTest {};

/// D3: one process, two required clients.
TEST_P(LeaveTogetherTest, TwoOfOneConnection) {
  world.client("a").preserves("a", {1});
  world.client("b").lives_with(world.client("a"));  // nothing of it is left
  world.client("c");
  world.boot();
  if (GetParam() == State::preparing) world.client("c").does(ClientCall::prepare, Does::nothing);
  if (GetParam() == State::freezing) world.client("c").does(ClientCall::freeze, Does::nothing);
  if (GetParam() == State::frozen) world.keep_frozen();
  const auto type = GetParam() == State::prepared ? JobType::prepare : JobType::update;
  ASSERT_TRUE(world.request(type));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == GetParam(); }));
  world.settle();
  world.client("a").leave();
  world.settle();
  world.let_go();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_TRUE(world.client("c").runs());
  world.client("a").start();
  world.client("b").start();
  expect_all_is_well(world);
  EXPECT_EQ(world.processes, 1U);
}

INSTANTIATE_TEST_SUITE_P(States, LeaveTogetherTest,
                         testing::Values(State::preparing, State::prepared, State::freezing,
                                         State::frozen),
                         name_of_state);

TEST_F(FailureTest, ClientLeavesInTheMiddleOfItsPrepare) {
  boot_two();
  guest().does(ClientCall::prepare, Does::leave);
  ASSERT_TRUE(world.request(JobType::update));
  EXPECT_EQ(world.outcome(), "failed");
  guest().start();
  expect_failed("'guest', Prepare: It has left the bus.");
}

TEST_F(FailureTest, ClientLeavesInTheMiddleOfItsFreeze) {
  boot_two();
  guest().does(ClientCall::freeze, Does::leave);
  ASSERT_TRUE(world.request(JobType::update));
  EXPECT_EQ(world.outcome(), "failed");
  guest().start();
  expect_failed("'guest', Freeze: It has left the bus.");
}

TEST_F(FailureTest, FrozenClientThatLeftIsThawedWhenItIsBack) {
  boot_two();
  disk().does(ClientCall::freeze, Does::nothing);
  ASSERT_TRUE(world.update_until(State::freezing));
  world.settle();
  ASSERT_EQ(guest().life(), Life::frozen);
  guest().leave();
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::thawing; }));
  guest().start();
  world.settle();
  EXPECT_EQ(guest().registrations().back(), "thawing");
  expect_failed("Client 'guest' left the bus");
}

TEST_F(FailureTest, RequiredClientThatIsAwayIsNamedByPreflight) {
  boot_two();
  guest().leave();
  world.settle();
  const auto refused = world.update();
  EXPECT_NE(refused.find("refused: client 'guest'"), std::string::npos) << refused;
  EXPECT_EQ(calls(), Strings{});
}

// ---- cancel

class CancelTest : public FailureTest, public testing::WithParamInterface<State> {};

TEST_P(CancelTest, InEachState) {
  boot_two();
  if (GetParam() == State::preparing) guest().does(ClientCall::prepare, Does::nothing);
  if (GetParam() == State::freezing) disk().does(ClientCall::freeze, Does::nothing);
  if (GetParam() == State::frozen) world.keep_frozen();
  const auto type = GetParam() == State::prepared ? JobType::prepare : JobType::update;
  ASSERT_TRUE(world.request(type));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == GetParam(); }));
  world.settle();
  EXPECT_TRUE(world.cancel());
  world.let_go();
  EXPECT_EQ(world.outcome(), "cancelled");
  EXPECT_EQ(world.kernels, 1U);
  EXPECT_FALSE(world.cancel());
  EXPECT_EQ(newest().outcome, Outcome::cancelled);
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

INSTANTIATE_TEST_SUITE_P(States, CancelTest,
                         testing::Values(State::preparing, State::prepared, State::freezing,
                                         State::frozen),
                         name_of_state);

/// Whatever is just happening: between any two steps of the loop and the pool.
TEST(CancelAnywhereTest, LeavesNobodyStandingStill) {
  for (std::uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE(nth);
    World world;
    world.client("disk").preserves("disk", {1, 2});
    world.client("guest").needs({"disk"}).preserves("guest", {1});
    world.boot();
    std::uint64_t steps = 0;
    bool cancelled = false;
    world.before_step = [&] {
      if (++steps != nth) return;
      world.call([&](Engine& engine) {
        engine.cancel(Caller{}, [&](const Result<void>& done) { cancelled = done.has_value(); });
      });
    };
    const auto outcome = world.update();
    world.before_step = nullptr;
    if (cancelled) {
      EXPECT_TRUE(outcome == "cancelled" || outcome == "refused: Cancelled on request.") << outcome;
      EXPECT_EQ(world.kernels, 1U);
    } else {
      EXPECT_EQ(outcome, "done");
    }
    expect_all_is_well(world);
    if (steps < nth || HasFailure()) return;
  }
}

/// The same for a client that leaves, and comes back.
TEST(LeaveAnywhereTest, LeavesNobodyStandingStill) {
  for (const std::string name : {"disk", "guest"}) {
    for (std::uint64_t nth = 1;; ++nth) {
      SCOPED_TRACE(name + " " + std::to_string(nth));
      World world;
      world.client("disk").preserves("disk", {1, 2});
      world.client("guest").needs({"disk"}).preserves("guest", {1});
      world.boot();
      std::uint64_t steps = 0;
      world.before_step = [&] {
        if (++steps != nth || world.client(name).life() == Life::away) return;
        world.client(name).leave();
        world.machine.clock.later(World::second, [&] { world.client(name).start(); });
      };
      (void)world.update();
      world.before_step = nullptr;
      expect_all_is_well(world);
      if (steps < nth || testing::Test::HasFailure()) break;
    }
  }
}

}  // namespace
}  // namespace handover::engine::test

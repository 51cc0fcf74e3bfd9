// SPDX-License-Identifier: LGPL-2.1-or-later
// A client's time limit is its own: it stands still while the daemon works for the client.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <functional>
#include <optional>

#include "world_test.h"

namespace handover::engine::test {
namespace {

/// What a client asks for; `done` runs with the answer.
struct Ask {
  const char* name;
  std::function<void(Engine&, const Caller&, const std::function<void()>& done)> what;
};

void PrintTo(const Ask& ask, std::ostream* out) { *out << ask.name; }

template <typename T>
Reply<T> reply(const std::function<void()>& done) {
  return [done](const Result<T>&) { done(); };
}

const Ask create{"create", [](Engine& engine, const Caller& caller, const auto& done) {
                   engine.create_session("new", std::nullopt, "disk", caller, reply<void>(done));
                 }};
const Ask preserve{"preserve", [](Engine& engine, const Caller& caller, const auto& done) {
                     engine.preserve("extra", 7, UniqueFd(memfd_create("more", MFD_CLOEXEC)),
                                     /*blob=*/false, std::nullopt, caller, reply<void>(done));
                   }};
const Ask unpreserve{"unpreserve", [](Engine& engine, const Caller& caller, const auto& done) {
                       engine.unpreserve("extra", 1, caller, reply<void>(done));
                     }};
const Ask open_tracker{"open_tracker", [](Engine& engine, const Caller& caller, const auto& done) {
                         engine.open_tracker("extra", caller, reply<UniqueFd>(done));
                       }};
const Ask retrieve{"retrieve", [](Engine& engine, const Caller& caller, const auto& done) {
                     engine.retrieve("extra", 1, caller, reply<UniqueFd>(done));
                   }};
const Ask finish{"finish", [](Engine& engine, const Caller& caller, const auto& done) {
                   engine.finish("extra", caller, reply<void>(done));
                 }};
const Ask discard{"discard", [](Engine& engine, const Caller& caller, const auto& done) {
                    engine.discard("extra", caller, reply<void>(done));
                  }};

std::string name_of_ask(const testing::TestParamInfo<Ask>& ask) { return ask.param.name; }

World::Options with_module() {
  World::Options options;
  options.luo = false;
  options.module = true;
  return options;
}

class ClockTest : public WorldTest, public testing::WithParamInterface<Ask> {
 protected:
  ClockTest() : WorldTest(with_module()) {
    world.config.clients["disk"].prepare_timeout_usec = limit_usec;
    world.config.clients["disk"].restore_timeout_usec = limit_usec;
    world.client("disk").preserves("disk", {1});
  }

  /// `disk` has a session that no test of its memory knows, and does not answer the call of a
  /// preparation or an update.
  void call_disk(ClientCall call) {
    disk().does(call, Does::nothing);
    world.boot();
    ask([](Engine& engine, const Caller& caller, const auto& done) {
      engine.create_session("extra", std::nullopt, "disk", caller, reply<void>(done));
    });
    ASSERT_TRUE(world.run_until([&] { return answered == 1; }));
    ASSERT_TRUE(world.preserve(disk(), "extra", 1));
    answered = 0;
    const bool prepare = call == ClientCall::prepare;
    ASSERT_TRUE(world.request(prepare ? JobType::prepare : JobType::update));
    const auto called = std::string(to_string(call)) + " disk";
    ASSERT_TRUE(world.run_until([&] { return world.announced.count(called) == 1; }));
    world.settle();
  }
  void ask(const std::function<void(Engine&, const Caller&, const std::function<void()>&)>& what) {
    ask_as(disk().caller(), what);
  }
  void ask_as(
      const Caller& caller,
      const std::function<void(Engine&, const Caller&, const std::function<void()>&)>& what) {
    world.call([&](Engine& engine) { what(engine, caller, [this] { ++answered; }); });
  }
  /// The kernel takes its time over each session.
  void hold_sessions() {
    for (Queue id = 0; id < 100; ++id) world.host().hold(session_queues + id);
  }
  void release_sessions() {
    for (Queue id = 0; id < 100; ++id) world.host().release(session_queues + id);
    world.settle();
  }
  void expect_in_time() {
    EXPECT_EQ(world.engine().state(), State::preparing) << world.reason();
    disk().answer_now();
    EXPECT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }))
        << world.reason();
  }
  void expect_balance() {
    EXPECT_EQ(world.outside().stopped_clocks(), 0U);
    EXPECT_FALSE(world.outside().started_too_often());
  }

  static constexpr std::uint64_t limit_usec = World::second;
  unsigned answered = 0;
};

class ClockOfPrepareTest : public ClockTest {};

TEST_P(ClockOfPrepareTest, StandsStillWhileTheDaemonWorks) {
  ASSERT_NO_FATAL_FAILURE(call_disk(ClientCall::prepare));
  hold_sessions();
  ask(GetParam().what);
  world.run_for(3 * limit_usec);
  EXPECT_EQ(answered, 0U);
  release_sessions();
  EXPECT_EQ(answered, 1U);
  world.run_for(limit_usec / 2);
  expect_in_time();
  expect_balance();
  EXPECT_TRUE(world.cancel());
  expect_all_is_well(world);
}

TEST_P(ClockOfPrepareTest, RunsOnAfterwards) {
  ASSERT_NO_FATAL_FAILURE(call_disk(ClientCall::prepare));
  world.run_for(limit_usec / 2);
  hold_sessions();
  ask(GetParam().what);
  world.run_for(limit_usec);
  release_sessions();
  EXPECT_EQ(world.engine().state(), State::preparing);
  world.run_for(limit_usec);
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("time limit"), std::string::npos) << world.reason();
  expect_balance();
  expect_all_is_well(world);
}

INSTANTIATE_TEST_SUITE_P(Asks, ClockOfPrepareTest,
                         testing::Values(create, preserve, unpreserve, open_tracker, retrieve,
                                         discard),
                         name_of_ask);

class ClockOfRestoreTest : public ClockTest {};

TEST_P(ClockOfRestoreTest, StandsStillWhileTheDaemonWorks) {
  ASSERT_NO_FATAL_FAILURE(call_disk(ClientCall::restore));
  hold_sessions();
  ask(GetParam().what);
  world.run_for(3 * limit_usec);
  EXPECT_EQ(answered, 0U);
  release_sessions();
  EXPECT_EQ(answered, 1U);
  disk().answer_now();
  ASSERT_TRUE(world.run_until([&] { return disk().runs(); }));
  EXPECT_EQ(world.statistic("client-late-answers"), 0U);
  EXPECT_TRUE(disk().carried().empty());
  world.settle();
  expect_balance();
}

INSTANTIATE_TEST_SUITE_P(Asks, ClockOfRestoreTest, testing::Values(create, retrieve, finish),
                         name_of_ask);

/// Each way on which a call is refused.
class ClockOfRefusedTest : public ClockTest {};

TEST_F(ClockOfRefusedTest, RunsOn) {
  ASSERT_NO_FATAL_FAILURE(call_disk(ClientCall::prepare));
  const auto caller = disk().caller();
  const auto done = [this] { ++answered; };
  world.call([&](Engine& engine) {
    const auto memory = [] { return UniqueFd(memfd_create("more", MFD_CLOEXEC)); };
    engine.create_session("extra", std::nullopt, "disk", caller, reply<void>(done));
    engine.create_session("n/o", std::nullopt, "disk", caller, reply<void>(done));
    engine.create_session("new", std::nullopt, "nobody", caller, reply<void>(done));
    engine.create_session("new", Keeper::luo, "disk", caller, reply<void>(done));
    engine.preserve("extra", 1, memory(), false, std::nullopt, caller, reply<void>(done));
    for (const auto* session : {"none", "extra"}) {
      engine.unpreserve(session, 9, caller, reply<void>(done));
      engine.retrieve(session, 9, caller, reply<UniqueFd>(done));
      engine.finish(session, caller, reply<void>(done));
    }
    engine.preserve("none", 1, memory(), false, std::nullopt, caller, reply<void>(done));
    engine.open_tracker("none", caller, reply<UniqueFd>(done));
    engine.discard("none", caller, reply<void>(done));
  });
  world.settle();
  EXPECT_EQ(answered, 14U);
  expect_balance();
  world.run_for(2 * limit_usec);
  EXPECT_EQ(world.outcome(), "failed");
  expect_all_is_well(world);
}

using ClockOfOthersTest = ClockTest;

/// By its own, since nobody is to use up or to stretch another's time.
TEST_F(ClockOfOthersTest, IsNotStoppedByAnotherConnection) {
  ASSERT_NO_FATAL_FAILURE(call_disk(ClientCall::prepare));
  auto other = disk().caller();
  other.connection = ":1.999";
  hold_sessions();
  ask_as(other, retrieve.what);
  ask_as(other, preserve.what);
  EXPECT_EQ(world.outside().stopped_clocks(), 0U);
  world.run_for(2 * limit_usec);
  release_sessions();
  EXPECT_EQ(world.outcome(), "failed");
  expect_balance();
  expect_all_is_well(world);
}

TEST_F(ClockOfOthersTest, IsNotStoppedByAStranger) {
  ASSERT_NO_FATAL_FAILURE(call_disk(ClientCall::prepare));
  auto stranger = disk().caller();
  stranger.owner.uid = 4711;
  stranger.connection = ":1.999";
  ask_as(stranger, retrieve.what);
  EXPECT_EQ(answered, 1U);
  EXPECT_EQ(world.outside().stopped_clocks(), 0U);
}

/// Who asks for something all the time does not hold an update up for ever.
TEST_F(ClockOfOthersTest, StandsStillForTenTimesTheLimitAtMost) {
  ASSERT_NO_FATAL_FAILURE(call_disk(ClientCall::prepare));
  hold_sessions();
  ask(preserve.what);
  world.run_for(9 * limit_usec);
  ask(retrieve.what);
  EXPECT_EQ(world.engine().state(), State::preparing);
  world.run_for(3 * limit_usec);
  EXPECT_NE(world.engine().state(), State::preparing);
  release_sessions();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("time limit"), std::string::npos) << world.reason();
  expect_balance();
  expect_all_is_well(world);
}

TEST_F(ClockOfOthersTest, NothingIsLeftOfAConnectionThatIsGone) {
  ASSERT_NO_FATAL_FAILURE(call_disk(ClientCall::prepare));
  hold_sessions();
  ask(preserve.what);
  EXPECT_EQ(world.outside().stopped_clocks(), 1U);
  disk().leave();
  world.settle();
  EXPECT_EQ(world.outside().stopped_clocks(), 0U);
  release_sessions();
  EXPECT_EQ(answered, 1U);
  expect_balance();
}

}  // namespace
}  // namespace handover::engine::test

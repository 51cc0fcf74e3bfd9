// SPDX-License-Identifier: LGPL-2.1-or-later
// Sessions whose owners preserve in them by LUO's own descriptor.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <optional>

#include "world_test.h"

namespace handover::engine::test {
namespace {

constexpr std::uint64_t own_token = 77;

class OpenLuoTest : public WorldTest {
 protected:
  template <typename T>
  Result<T> answer_of(const std::function<void(Engine&, Reply<T>)>& ask) {
    auto answer = std::make_shared<std::optional<Result<T>>>();
    world.call([&](Engine& engine) {
      ask(engine, [answer](Result<T> result) { *answer = std::move(result); });
    });
    EXPECT_TRUE(world.run_until([&] { return answer->has_value(); }));
    return answer->has_value() ? std::move(**answer) : fail(ErrorCode::internal, "no answer");
  }
  Result<UniqueFd> open(const std::string& session, const Caller& caller = {}) {
    return answer_of<UniqueFd>(
        [&](Engine& engine, Reply<UniqueFd> reply) { engine.open_luo(session, caller, reply); });
  }
  Result<UniqueFd> retrieve(const std::string& session, std::uint64_t token) {
    return answer_of<UniqueFd>([&](Engine& engine, Reply<UniqueFd> reply) {
      engine.retrieve(session, token, Caller{}, reply);
    });
  }
  Result<void> unpreserve(const std::string& session, std::uint64_t token) {
    return answer_of<void>([&](Engine& engine, Reply<void> reply) {
      engine.unpreserve(session, token, Caller{}, reply);
    });
  }
  /// A session of root's with memory of the daemon's, and with some that the owner preserved.
  void boot_with_own() {
    boot_two();
    world.make_session("script", 1);
    const auto own = open("script");
    ASSERT_TRUE(own) << own.error().message;
    const UniqueFd memory(memfd_create("own", MFD_CLOEXEC));
    ASSERT_EQ(world.kernel->preserve_fd(own->get(), own_token, memory.get()), 0);
  }
  /// An update up to where everybody is restored and the session waits for its owner.
  void update_with_own() {
    boot_with_own();
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] {
      return world.kernels == 2 && world.ready() && disk().content() && guest().content();
    }));
    const auto* const held = world.engine().sessions().find("script");
    ASSERT_NE(held, nullptr);
    ASSERT_TRUE(held->record.incoming);
  }
  bool told_of_own() {
    return std::any_of(
        world.announced.losses.begin(), world.announced.losses.end(),
        [](const auto& loss) { return loss.reason.find("OpenLUO") != std::string::npos; });
  }
};

TEST_F(OpenLuoTest, ItsOwnerHasItAgainInTheNextKernel) {
  update_with_own();
  const auto own = open("script");
  ASSERT_TRUE(own) << own.error().message;
  const UniqueFd memory(world.kernel->retrieve_fd(own->get(), own_token));
  EXPECT_TRUE(memory);
  ASSERT_TRUE(retrieve("script", 1));
  ASSERT_TRUE(answer_of<void>(
      [&](Engine& engine, Reply<void> reply) { engine.finish("script", Caller{}, reply); }));
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(world.lost_anything()) << world.announced.losses.front().reason;
}

TEST_F(OpenLuoTest, TheDaemonRetrievesItToo) {
  update_with_own();
  EXPECT_TRUE(retrieve("script", own_token));
  ASSERT_TRUE(retrieve("script", 1));
  EXPECT_EQ(retrieve("script", own_token + 1).error().code, ErrorCode::no_such_token);
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(told_of_own()) << "it was claimed";
}

TEST_F(OpenLuoTest, WhatNobodyClaimsIsToldAsALoss) {
  update_with_own();
  EXPECT_EQ(world.outcome(), "done");
  ASSERT_TRUE(world.run_until([&] { return told_of_own(); }));
  EXPECT_TRUE(world.calm_down());
  EXPECT_FALSE(world.kernel->incoming("script"));
}

/// LUO does not tell what he has taken by its descriptor.
TEST_F(OpenLuoTest, WhatItsOwnerMayHaveTakenIsNotCalledLost) {
  update_with_own();
  ASSERT_TRUE(open("script"));
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_TRUE(world.calm_down());
  EXPECT_FALSE(world.kernel->incoming("script")) << "the claim time is over";
  EXPECT_FALSE(world.lost_anything()) << world.announced.losses.front().reason;
  EXPECT_EQ(newest().outcome, Outcome::done);
}

/// He came for what the daemon knows of, and there was nothing else.
TEST_F(OpenLuoTest, WhoRetrievesIsNotToldOfALoss) {
  update_with_own();
  ASSERT_TRUE(retrieve("script", 1));
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_TRUE(world.calm_down());
  EXPECT_FALSE(world.kernel->incoming("script"));
  EXPECT_FALSE(world.lost_anything());
}

TEST_F(OpenLuoTest, IsNeverMadeAnew) {
  boot_with_own();
  const auto expect_kept = [&] {
    const auto refused = unpreserve("script", 1);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::not_supported);
    EXPECT_EQ(world.kernel->outgoing("script"), (std::set<std::uint64_t>{1, own_token}));
    EXPECT_EQ(Sessions::bytes_to_collapse(world.engine().sessions().find("script")->record), 0U);
  };
  expect_kept();
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready() && disk().content(); }));
  expect_kept();
}

TEST_F(OpenLuoTest, IsItsOwnersAlone) {
  boot_two();
  auto other = disk().caller();
  other.owner.uid = 1234;
  EXPECT_EQ(open("disk", other).error().code, ErrorCode::access_denied);
  EXPECT_EQ(open("nobody's").error().code, ErrorCode::no_such_session);
  world.keep_frozen();
  ASSERT_TRUE(world.update_until(State::frozen));
  EXPECT_EQ(open("disk", disk().caller()).error().code, ErrorCode::busy);
  world.let_go();
  EXPECT_EQ(world.outcome(), "done");
  expect_all_is_well(world);
}

/// His descriptor keeps it beyond the daemon's.
TEST_F(OpenLuoTest, EndsWithTheLastDescriptor) {
  boot_with_own();
  auto own = open("script");
  ASSERT_TRUE(own);
  ASSERT_TRUE(answer_of<void>(
      [&](Engine& engine, Reply<void> reply) { engine.discard("script", Caller{}, reply); }));
  EXPECT_TRUE(world.kernel->outgoing("script"));
  own->reset();
  EXPECT_FALSE(world.kernel->outgoing("script"));
  world.make_session("script", 1);
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

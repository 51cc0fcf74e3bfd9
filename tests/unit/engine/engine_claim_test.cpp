// SPDX-License-Identifier: LGPL-2.1-or-later
// The end of the claim time: who does not come is given up, and nobody else.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class ClaimTest : public WorldTest {
 protected:
  ClaimTest() { world.config.claim_timeout_usec = claim_usec; }

  /// In the next kernel `before_adoption` runs before any session is asked for.
  void update(const std::function<void()>& before_adoption) {
    bool done = false;
    world.before_step = [&, done]() mutable {
      if (world.kernels != 2 || !world.ready() || std::exchange(done, true)) return;
      before_adoption();
    };
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] { return world.kernels == 2 && world.ready(); }));
    world.settle();
    world.before_step = nullptr;
    began_ = world.machine.clock.now_usec();
  }
  /// Until so long before the claim time is over; less than 0: after it.
  void run_until_before_its_end(std::int64_t usec) {
    const auto end = began_ + claim_usec - usec;
    world.run_for(end - world.machine.clock.now_usec());
  }
  Queue queue_of(const std::string& session) {
    return session_queues + world.engine().sessions().find(session)->record.id;
  }
  [[nodiscard]] bool anybody_is_given_up() const {
    return std::any_of(
        world.announced.losses.begin(), world.announced.losses.end(),
        [](const auto& loss) { return loss.reason.find("given up") != std::string::npos; });
  }

  static constexpr auto second = static_cast<std::int64_t>(World::second);
  static constexpr std::uint64_t claim_usec = 60 * World::second;

 private:
  std::uint64_t began_ = 0;
};

TEST_F(ClaimTest, ClientThatWaitsForUsIsRestoredWithWhatThereIs) {
  boot_two();
  update([&] { world.refused_sessions["guest"] = EBUSY; });
  run_until_before_its_end(second);
  EXPECT_EQ(world.announced.count("Restore guest"), 0U);
  EXPECT_EQ(world.outcome(), "done-with-losses");
  ASSERT_EQ(world.announced.losses.size(), 1U);
  EXPECT_EQ(world.announced.losses.front().session, "guest");
  EXPECT_FALSE(anybody_is_given_up());
  EXPECT_EQ(world.announced.count("Restore guest"), 1U);
  world.refused_sessions.clear();
}

/// The kernel works on it for as long.
TEST_F(ClaimTest, SessionThatIsJustComingIsNotDropped) {
  boot_two();
  update([&] { world.host().hold(queue_of("guest")); });
  run_until_before_its_end(-2 * second);
  EXPECT_EQ(world.engine().state(), State::restoring);
  EXPECT_FALSE(world.lost_anything());
  world.host().release(queue_of("guest"));
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Restore guest"), 1U);
  EXPECT_TRUE(guest().carried().empty());
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
}

class ComingAgainTest : public ClaimTest {
 protected:
  /// The kernel refused it until now, and is being asked once more while the claim time ends.
  void let_it_come_at_the_end() {
    boot_two();
    update([&] { world.refused_sessions["guest"] = EBUSY; });
    run_until_before_its_end(5 * second);
    world.host().hold(queue_of("guest"));
    run_until_before_its_end(-second);
    EXPECT_FALSE(world.lost_anything());
    EXPECT_EQ(world.announced.count("Restore guest"), 0U);
  }
};

TEST_F(ComingAgainTest, IsNotLostIfItComes) {
  let_it_come_at_the_end();
  world.refused_sessions.clear();
  world.host().release(queue_of("guest"));
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(world.lost_anything());
  EXPECT_TRUE(guest().carried().empty());
  expect_all_is_well(world);
}

TEST_F(ComingAgainTest, IsGivenUpIfItDoesNot) {
  let_it_come_at_the_end();
  world.host().release(queue_of("guest"));
  EXPECT_EQ(world.outcome(), "done-with-losses");
  ASSERT_EQ(world.announced.losses.size(), 1U);
  EXPECT_EQ(world.announced.losses.front().session, "guest");
  EXPECT_FALSE(anybody_is_given_up());
  EXPECT_EQ(world.announced.count("Restore guest"), 1U);
  world.refused_sessions.clear();
}

/// Nobody waits for it, but its memory is not to be held for ever.
TEST_F(ClaimTest, SessionOfNobodyThatComesLaterIsFreed) {
  boot_two();
  world.make_session("script", 2);
  update([&] { world.host().hold(queue_of("script")); });
  run_until_before_its_end(-second);
  EXPECT_FALSE(world.lost_anything());
  world.host().release(queue_of("script"));
  world.run_for(World::second);
  EXPECT_FALSE(world.kernel->incoming("script"));
  EXPECT_EQ(world.announced.losses.size(), 2U);  // one a token
  expect_all_is_well(world);
  EXPECT_EQ(newest().outcome, Outcome::done_with_losses);
  EXPECT_EQ(newest().losses.size(), 2U);
}

/// It is on its way to the disk, and that is not waited for.
TEST_F(ClaimTest, LossIsInTheRecordAlsoIfTheDaemonDiesAtOnce) {
  boot_two();
  world.make_session("script", 1);
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.run_until([&] { return world.lost_anything(); }));
  world.settle();
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  EXPECT_EQ(newest().outcome, Outcome::done_with_losses);
  EXPECT_EQ(newest().losses.size(), 1U);
  expect_all_is_well(world);
  EXPECT_TRUE(parse_manifest(*world.machine.runtime.read("manifest.json"))->late_losses.empty());
}

/// The update is over, and told as done; what it carried is not claimed.
TEST_F(ClaimTest, LossAfterARestartOfTheDaemonIsToldInTheRecordToo) {
  boot_two();
  world.make_session("script", 1);
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(newest().outcome, Outcome::done);
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.lost_anything(); }));
  world.run_for(5 * World::second);
  EXPECT_EQ(newest().outcome, Outcome::done_with_losses);
  ASSERT_EQ(newest().losses.size(), 1U);
  EXPECT_NE(newest().losses.front().find("'script', token 1"), std::string::npos);
  expect_all_is_well(world);
}

/// It is freed when its client has answered Restore, which ends the update.
class ForgottenMemoryTest : public ClaimTest {
 protected:
  void boot_forgetful() {
    guest().preserves("guest", {1, 2}).never_retrieves("guest", 2);
    world.boot();
  }
};

TEST_F(ForgottenMemoryTest, IsToldBeforeTheEndOfTheUpdate) {
  boot_forgetful();
  EXPECT_EQ(world.update(), "done-with-losses");
  ASSERT_EQ(world.announced.finished.size(), 1U);
  EXPECT_EQ(world.announced.finished.front().losses, 1U);
  EXPECT_EQ(newest().losses.size(), 1U);
  expect_all_is_well(world);
}

TEST_F(ForgottenMemoryTest, IsNotWaitedForForEver) {
  boot_forgetful();
  Queue held = 0;
  world.before_step = [&] {
    if (held != 0 || world.kernels != 2 || !guest().runs()) return;
    held = queue_of("guest");
    world.host().hold(held);
  };
  ASSERT_TRUE(world.request(JobType::update));
  // Nor by who waits for the clients only.
  ASSERT_TRUE(world.run_until([&] { return held != 0 && world.settled; }));
  EXPECT_TRUE(world.announced.finished.empty());
  ASSERT_TRUE(world.run_until([&] { return !world.announced.finished.empty(); }, 60 * second));
  EXPECT_FALSE(world.lost_anything());
  world.host().release(held);
  ASSERT_TRUE(world.run_until([&] { return world.lost_anything(); }));
  EXPECT_EQ(world.announced.finished.size(), 1U);
  EXPECT_EQ(newest().outcome, Outcome::done_with_losses);
  expect_all_is_well(world);
}

/// Whose session is not its own has no say in whose turn it is.
TEST_F(ClaimTest, AStrangerHurriesNothing) {
  boot_two();
  update([&] { world.host().hold(queue_of("guest")); });
  auto stranger = guest().caller();
  stranger.owner.uid = 4711;
  std::optional<Result<UniqueFd>> answer;
  const auto ask = [&](const Caller& caller) {
    world.call([&](Engine& engine) {
      engine.retrieve("guest", 1, caller, [&](Result<UniqueFd> fd) { answer = std::move(fd); });
    });
  };
  ask(stranger);
  ASSERT_TRUE(answer);
  ASSERT_FALSE(*answer);
  EXPECT_EQ(answer->error().code, ErrorCode::access_denied);
  EXPECT_FALSE(world.host().is_hurried(queue_of("guest")));
  answer.reset();
  ask(guest().caller());
  EXPECT_FALSE(answer);
  EXPECT_TRUE(world.host().is_hurried(queue_of("guest")));
  world.host().release(queue_of("guest"));
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_TRUE(answer && *answer);
  expect_all_is_well(world);
}

TEST_F(ClaimTest, SessionOfNobodyThatIsRefusedForEverIsGivenUp) {
  boot_two();
  world.make_session("script", 2);
  update([&] { world.host().hold(queue_of("script")); });
  run_until_before_its_end(-second);
  world.refused_sessions["script"] = EBUSY;
  world.host().release(queue_of("script"));
  world.run_for(10 * World::second);
  EXPECT_TRUE(world.announced.told_loss("script", "?"));
  EXPECT_EQ(world.statistic("sessions-unreached"), 0U);
  world.refused_sessions.clear();
}

}  // namespace
}  // namespace handover::engine::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Updates with the companion module: what it gives once, sessions that rest, and sessions of which
// it has one half and LUO the other.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "world_test.h"

namespace handover::engine::test {
namespace {

using Place = FakeClient::Place;

World::Options with_module(bool luo) {
  World::Options options;
  options.luo = luo;
  options.module = true;
  return options;
}

/// The manifest of this boot, as a later process of the daemon would read it.
Manifest manifest_of(World& world) {
  return *parse_manifest(*world.machine.runtime.read("manifest.json"));
}

/// A kernel without LUO.
class ModuleTest : public WorldTest {
 protected:
  ModuleTest() : WorldTest(with_module(/*luo=*/false)) {}

  template <typename T>
  Result<T> answer_of(const std::function<void(Engine&, Reply<T>)>& ask) {
    std::optional<Result<T>> answer;
    world.call([&](Engine& engine) {
      ask(engine, [&](Result<T> result) { answer = std::move(result); });
    });
    EXPECT_TRUE(world.run_until([&] { return answer.has_value(); }));
    return answer ? std::move(*answer) : fail(ErrorCode::internal, "no answer");
  }
  /// In the next kernel root takes one of its tokens and finishes the session, as long as `disk` is
  /// being restored.
  void finish_while_restoring(const std::string& session) {
    disk().takes(ClientCall::restore, 10 * World::second);
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore disk") == 1; }));
    ASSERT_TRUE(answer_of<UniqueFd>([&](Engine& engine, Reply<UniqueFd> reply) {
      engine.retrieve(session, 1, Caller{}, reply);
    }));
    ASSERT_TRUE(answer_of<void>(
        [&](Engine& engine, Reply<void> reply) { engine.finish(session, Caller{}, reply); }));
    ASSERT_EQ(world.engine().state(), State::restoring);
  }
};

TEST_F(ModuleTest, CarriesEverybodysMemory) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  EXPECT_TRUE(disk().carried().empty());
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
}

TEST_F(ModuleTest, NeedsItselfInTheTarget) {
  boot_two();
  world.machine.modules_missing = true;
  const auto refused = world.update();
  EXPECT_NE(refused.find("no handover.ko"), std::string::npos) << refused;
  EXPECT_EQ(calls(), Strings{});
  expect_all_is_well(world);
}

/// The manifest and each retrieved file come out of the module once: whatever the process before
/// has got of them, the next one must find in the fd store.
TEST(ModuleDeathTest, BetweenAnyTwoStepsAfterTheKexecCostsNothing) {
  for (std::uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE(nth);
    World world(with_module(/*luo=*/false));
    world.client("disk").preserves("disk", {1, 2});
    world.client("guest").needs({"disk"}).preserves("guest", {1});
    world.boot();
    std::uint64_t steps = 0;
    world.before_step = [&] {
      if (world.kernels == 2 && world.daemon_is_here() && ++steps == nth) world.kill_daemon();
    };
    (void)world.update();
    world.before_step = nullptr;
    EXPECT_FALSE(world.lost_anything());
    EXPECT_TRUE(world.client("disk").carried().empty());
    expect_all_is_well(world);
    // The signal may have gone with the process that died; the history has it in any case.
    const auto history = world.history();
    ASSERT_FALSE(history.empty());
    EXPECT_EQ(history.front().outcome, Outcome::done);
    if (steps < nth || testing::Test::HasFailure()) {
      EXPECT_GT(nth, 50U);
      return;
    }
  }
}

// ---- sessions that rest until everybody runs

TEST_F(ModuleTest, RestingSessionIsInTheManifest) {
  boot_two();
  world.make_session("script", 1);
  finish_while_restoring("script");
  EXPECT_EQ(manifest_of(world).resting, Strings{"script"});
  EXPECT_EQ(world.outcome(), "done");
  expect_all_is_well(world);
  EXPECT_EQ(manifest_of(world).resting, Strings{});
}

TEST_F(ModuleTest, RestingSessionIsEndedByTheNextProcess) {
  boot_two();
  world.make_session("script", 1);
  finish_while_restoring("script");
  world.kill_daemon();
  EXPECT_EQ(world.outcome(), "done");
  expect_all_is_well(world);
  EXPECT_FALSE(world.tracker->incoming("script"));
  world.make_session("script", 1);  // the name is free
  EXPECT_TRUE(world.tracker->outgoing("script"));
}

// ---- what owners do by themselves with the module's descriptor

/// Asking the module may take its time: it has other callers, and a restore at work.
TEST_F(ModuleTest, RefreshAsksTheModuleOutsideTheLoop) {
  boot_two();
  const auto opened = answer_of<UniqueFd>([&](Engine& engine, Reply<UniqueFd> reply) {
    engine.open_tracker("disk", disk().caller(), reply);
  });
  ASSERT_TRUE(opened);
  const UniqueFd more(memfd_create("more", MFD_CLOEXEC));
  ASSERT_TRUE(world.tracker->preserve_fd(opened->get(), 7, more.get()));
  const auto queue = session_queues + world.engine().sessions().find("disk")->record.id;
  world.host().hold(queue);
  const auto calls_before = world.tracker->faults().calls();
  bool refreshed = false;
  world.call([&](Engine& engine) { engine.refresh_sessions([&] { refreshed = true; }); });
  EXPECT_EQ(world.tracker->faults().calls(), calls_before);
  world.run_for(World::second);
  EXPECT_FALSE(refreshed);
  EXPECT_EQ(world.engine().sessions().find("disk")->record.tokens.size(), 2U);
  world.host().release(queue);
  world.settle();
  EXPECT_TRUE(refreshed);
  EXPECT_EQ(world.engine().sessions().find("disk")->record.tokens.size(), 3U);
}

/// Nor does who reads a property.
TEST_F(ModuleTest, IsLookedAtOutsideTheLoop) {
  boot_two();
  const auto calls_before = world.tracker->faults().calls();
  world.host().hold(module_queue);
  world.tracker->unload();
  const auto there = [&] {
    bool answer = false;
    world.call([&](Engine& engine) { answer = engine.module().has_value(); });
    return answer;
  };
  EXPECT_TRUE(there());
  EXPECT_TRUE(there());
  EXPECT_EQ(world.tracker->faults().calls(), calls_before);
  EXPECT_EQ(world.host().jobs_waiting(), 1U);
  world.host().release(module_queue);
  world.settle();
  EXPECT_FALSE(there());
  world.settle();
  world.tracker->load();
  // Who lists the sessions waits for a look.
  bool listed = false;
  world.call([&](Engine& engine) { engine.refresh_sessions([&] { listed = true; }); });
  ASSERT_TRUE(world.run_until([&] { return listed; }));
  EXPECT_TRUE(there());
  world.settle();
}

/// Everybody may list the sessions, and nobody is to stand still for that.
TEST_F(ModuleTest, NoUpdateWaitsForWhoListsSessions) {
  boot_two();
  const auto opened = answer_of<UniqueFd>([&](Engine& engine, Reply<UniqueFd> reply) {
    engine.open_tracker("disk", disk().caller(), reply);
  });
  ASSERT_TRUE(opened);
  const auto queue = session_queues + world.engine().sessions().find("disk")->record.id;
  world.keep_frozen();
  ASSERT_TRUE(world.update_until(State::frozen));
  world.host().hold(queue);
  bool listed = false;
  world.call([&](Engine& engine) { engine.refresh_sessions([&] { listed = true; }); });
  EXPECT_TRUE(listed);
  EXPECT_TRUE(world.engine().sessions().idle());
  world.host().release(queue);
  world.let_go();
  EXPECT_EQ(world.outcome(), "done");
}

// ---- two halves

/// A kernel with LUO, and the module beside it.
class HalvesTest : public WorldTest {
 protected:
  HalvesTest() : WorldTest(with_module(/*luo=*/true)) {}

  /// Of session `disk` LUO has token 1, and the module token 2.
  void boot_halves() {
    world.client("disk")
        .preserves("disk", {1}, Keeper::luo)
        .preserves("disk", {2}, Keeper::tracker);
    world.client("guest").needs({"disk"}).preserves("guest", {1});
    world.boot();
    ASSERT_EQ(world.kernel->outgoing("disk"), std::set<std::uint64_t>{1});
    ASSERT_EQ(world.tracker->outgoing("disk"), std::set<std::uint64_t>{2});
  }
  void update_without_luo_half() {
    world.before_step = [&] {
      if (world.kernels == 2 && !std::exchange(refused_, true)) {
        world.refused_sessions["disk"] = EBUSY;
      }
    };
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] { return world.kernels == 2 && world.ready(); }));
  }

 private:
  bool refused_ = false;
};

TEST_F(HalvesTest, BothComeBack) {
  boot_halves();
  EXPECT_EQ(world.update(), "done");
  EXPECT_TRUE(disk().carried().empty());
  expect_all_is_well(world);
}

TEST_F(HalvesTest, ClientWaitsForTheHalfThatIsOutOfReach) {
  boot_halves();
  update_without_luo_half();
  world.run_for(10 * World::second);
  EXPECT_EQ(world.statistic("sessions-degraded"), 1U);
  EXPECT_EQ(world.announced.count("Restore disk"), 0U);
  EXPECT_EQ(world.announced.count("Restore guest"), 0U);
  world.refused_sessions.clear();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.announced.count("Restore disk"), 1U);
  EXPECT_TRUE(disk().carried().empty());
  expect_all_is_well(world);
}

TEST_F(HalvesTest, AfterTheClaimTimeItIsRestoredWithWhatThereIs) {
  world.config.claim_timeout_usec = 60 * World::second;
  boot_halves();
  update_without_luo_half();
  world.run_for(59 * World::second);
  EXPECT_EQ(world.announced.count("Restore disk"), 0U);
  world.run_for(3 * World::second);
  EXPECT_EQ(world.announced.count("Restore disk"), 1U);
  // The other half comes while it is restoring.
  world.refused_sessions.clear();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_TRUE(disk().carried().empty());
  EXPECT_TRUE(guest().runs());
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

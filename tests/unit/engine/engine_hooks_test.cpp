// SPDX-License-Identifier: LGPL-2.1-or-later
// The administrator's hooks in an update: when they run, and what a refusal does.
#include <gtest/gtest.h>

#include "world_test.h"

namespace handover::engine::test {
namespace {

class HooksTest : public WorldTest {
 protected:
  HooksTest() = default;
  explicit HooksTest(World::Options options) : WorldTest(options) {}

  void SetUp() override {
    for (const auto stage : all_values<HookStage>()) set(stage, HookEnd::passed);
  }
  void set(HookStage stage, HookEnd end) {
    HookResult result;
    result.name = std::string(to_string(stage)) + "/50-x";
    result.end = end;
    result.status = 3;
    result.last_line = "no room";
    world.machine.hooks[stage] = {result};
  }
  [[nodiscard]] const Strings& told() const { return world.machine.hooks_told; }
  /// Stages only.
  [[nodiscard]] Strings stages() const {
    Strings all;
    for (const auto& line : told()) all.push_back(line.substr(0, line.find(' ')));
    return all;
  }
};

TEST_F(HooksTest, RunAtEachStageOfAnUpdate) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
  EXPECT_EQ(
      told(),
      (Strings{"preflight update immediate 7.3.1-new", "prepare update immediate 7.3.1-new",
               "freeze update immediate 7.3.1-new", "restored update immediate 7.3.1-new done"}));
}

TEST_F(HooksTest, OfPrepareRunOnceThoughTheUpdateGoesOnLater) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  EXPECT_EQ(stages(), (Strings{"preflight", "prepare"}));
  EXPECT_TRUE(told().back().starts_with("prepare prepare "));
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
  EXPECT_EQ(stages(), (Strings{"preflight", "prepare", "freeze", "restored"}));
}

TEST_F(HooksTest, OfPreflightRefuseBeforeAnybodyIsAsked) {
  boot_two();
  set(HookStage::preflight, HookEnd::refused);
  const auto asked = world.request(JobType::update);
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, ErrorCode::vetoed);
  EXPECT_EQ(asked.error().message,
            "hook 'preflight/50-x' ended with status 3: no room; see the journal for all that it "
            "printed");
  expect_all_is_well(world);
  EXPECT_EQ(stages(), Strings{"preflight"});
  EXPECT_TRUE(calls().empty());
  EXPECT_TRUE(world.history().empty());
}

TEST_F(HooksTest, OfPreflightAreOverruledByName) {
  boot_two();
  set(HookStage::preflight, HookEnd::refused);
  UpdateOptions options;
  options.allow = {FindingId::hook_refused};
  EXPECT_EQ(world.update(options), "done");
  EXPECT_TRUE(newest().overruled.starts_with("hook-refused (allowed by uid "));
}

TEST_F(HooksTest, ThatWarnAndUnsafeOnesAreFindings) {
  boot_two();
  set(HookStage::preflight, HookEnd::warned);
  world.machine.unsafe_hooks = {{"/etc/handover/hooks.d/freeze/10-x", "is writable for everybody"}};
  std::vector<Finding> found;
  world.call([&](Engine& engine) {
    engine.preflight({}, [&](const Result<std::vector<Finding>>& findings) {
      if (findings) found = *findings;
    });
  });
  ASSERT_TRUE(world.run_until([&] { return !found.empty(); }));
  ASSERT_EQ(found.size(), 3U);  // and the kernel that was never tried
  EXPECT_EQ(found[0].id, FindingId::hook_warns);
  EXPECT_EQ(text_of(found[0]), "hook 'preflight/50-x' warns: no room");
  EXPECT_EQ(found[1].id, FindingId::hook_unsafe);
  EXPECT_EQ(found[1].message,
            "hook '/etc/handover/hooks.d/freeze/10-x' is not run: it is writable for everybody");
  EXPECT_EQ(told(), Strings{"preflight preflight immediate 7.3.1-new"});
  EXPECT_EQ(world.update(), "done");
}

TEST_F(HooksTest, OfPrepareRefuseAsAClientDoes) {
  boot_two();
  set(HookStage::prepare, HookEnd::refused);
  EXPECT_EQ(world.update(), "failed");
  expect_all_is_well(world);
  EXPECT_EQ(world.kernels, 1U);
  EXPECT_FALSE(world.machine.target_loaded);
  const auto entry = newest();
  EXPECT_EQ(entry.reason, "Hook 'prepare/50-x' ended with status 3: no room.");
  EXPECT_EQ(entry.error, "org.handover1.Error.Vetoed");
  EXPECT_EQ(entry.hook, "prepare/50-x");
  EXPECT_EQ(entry.client, "");
  EXPECT_TRUE(calls().empty()) << lines(calls());
  EXPECT_EQ(stages(), (Strings{"preflight", "prepare", "failed"}));
  EXPECT_EQ(told().back(), "failed update immediate 7.3.1-new failed " + entry.reason);
}

TEST_F(HooksTest, OfFreezeRefuseBeforeAnybodyIsFrozen) {
  boot_two();
  set(HookStage::freeze, HookEnd::refused);
  EXPECT_EQ(world.update(), "failed");
  expect_all_is_well(world);
  EXPECT_EQ(newest().hook, "freeze/50-x");
  EXPECT_EQ(world.announced.count("Freeze guest"), 0U);
  EXPECT_EQ(world.announced.count("Cancel guest"), 1U);
  EXPECT_FALSE(world.machine.state.has("pending.json"));
  EXPECT_EQ(stages(), (Strings{"preflight", "prepare", "freeze", "thaw", "failed"}));
}

TEST_F(HooksTest, HaveATimeLimit) {
  boot_two();
  world.machine.hooks_take_usec[HookStage::freeze] = World::hour;
  EXPECT_EQ(world.update(), "failed");
  expect_all_is_well(world);
  EXPECT_EQ(world.reason(), "Hook 'freeze/50-x' took longer than 30000 ms: no room.");
  EXPECT_EQ(newest().error, "org.handover1.Error.TimedOut");
}

/// Workloads run on while they do.
TEST_F(HooksTest, OfFreezeTakeNothingOfTheBudget) {
  world.config.freeze_budget_usec = World::second;
  world.machine.hooks_take_usec[HookStage::freeze] = 20 * World::second;
  boot_two();
  EXPECT_EQ(world.update(), "done") << world.reason();
  EXPECT_LT(blackout_usec(newest().timeline).value_or(World::hour), 10 * World::second);
}

TEST_F(HooksTest, OfFreezeRunInTheBlackoutIfAskedFor) {
  world.config.hooks.in_blackout = true;
  boot_two();
  bool all_frozen = false;
  world.before_step = [&] {
    const auto now = stages();
    if (!all_frozen && !now.empty() && now.back() == "freeze") {
      all_frozen = disk().life() == Life::frozen && guest().life() == Life::frozen;
    }
  };
  EXPECT_EQ(world.update(), "done");
  world.before_step = nullptr;
  EXPECT_TRUE(all_frozen);
  expect_all_is_well(world);
}

TEST_F(HooksTest, InTheBlackoutMayRefuseAndKeepItsBudget) {
  world.config.hooks.in_blackout = true;
  boot_two();
  set(HookStage::freeze, HookEnd::refused);
  EXPECT_EQ(world.update(), "failed");
  expect_all_is_well(world);
  EXPECT_EQ(world.announced.count("Thaw disk"), 1U);
  EXPECT_EQ(newest().hook, "freeze/50-x");
  EXPECT_EQ(stages(), (Strings{"preflight", "prepare", "freeze", "thaw", "failed"}));

  set(HookStage::freeze, HookEnd::passed);
  ASSERT_TRUE(world.update_until(State::freezing));
  world.host().hold(target_queue);
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::frozen; }));
  world.run_for(31 * World::second);
  world.host().release(target_queue);
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("it waited for the hooks of stage freeze"), std::string::npos)
      << world.reason();
  expect_all_is_well(world);
}

TEST_F(HooksTest, ACancelEndsThem) {
  world.config.hooks.in_blackout = true;
  boot_two();
  ASSERT_TRUE(world.request(JobType::update));
  world.host().hold(disk_queue);  // the pending record, right before them
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::freezing; }));
  world.host().hold(target_queue);
  world.host().release(disk_queue);
  world.run_for(World::second);
  ASSERT_TRUE(world.cancel());
  world.host().release(target_queue);
  EXPECT_EQ(world.outcome(), "cancelled");
  expect_all_is_well(world);
  // The one that waited has not begun.
  EXPECT_EQ(stages(), (Strings{"preflight", "prepare", "thaw", "failed"}));
}

TEST_F(HooksTest, OfTheEndChangeNothing) {
  boot_two();
  for (const auto stage : {HookStage::thaw, HookStage::restored, HookStage::failed}) {
    set(stage, HookEnd::refused);
  }
  EXPECT_EQ(world.update(), "done");
  guest().does(ClientCall::freeze, Does::veto);
  EXPECT_EQ(world.update(), "failed");
  expect_all_is_well(world);
  EXPECT_EQ(newest().hook, "");
  EXPECT_EQ(newest().client, "guest");
}

TEST_F(HooksTest, AreToldOfALostUpdate) {
  boot_two();
  ASSERT_TRUE(world.update_until(State::freezing));
  ASSERT_TRUE(world.run_until([&] { return world.machine.state.has("pending.json"); }));
  world.machine.hooks_told.clear();
  world.power_cut();
  ASSERT_TRUE(world.run_until([&] { return !world.history().empty(); }));
  world.settle();
  ASSERT_EQ(stages(), Strings{"failed"});
  EXPECT_NE(told().front().find(" failed "), std::string::npos) << told().front();
}

/// Wherever the daemon dies, the update is undone, or goes on in the new kernel.
TEST_F(HooksTest, TheDaemonMayDieAtEachOfThem) {
  std::uint64_t nth = 1;
  for (bool died = true; died; ++nth) {
    ASSERT_LT(nth, 400U);
    World each;
    for (const auto stage : all_values<HookStage>())
      each.machine.hooks[stage] = world.machine.hooks[stage];
    each.client("disk").preserves("disk", {1});
    each.boot();
    each.machine.die_at(nth);
    (void)each.update();
    died = !each.machine.die_at_is_set();
    each.machine.die_at(0);
    expect_all_is_well(each);
  }
}

}  // namespace
}  // namespace handover::engine::test

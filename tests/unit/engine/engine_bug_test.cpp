// SPDX-License-Identifier: LGPL-2.1-or-later
// A job ends by an exception: that costs the operation, and leaves nobody waiting.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "world_test.h"

namespace handover::engine::test {
namespace {

/// An update with a bug at the `nth` effect of this name. False: there are not so many.
bool update_with_bug(const std::string& effect, std::uint64_t nth, Mode mode) {
  World world;
  world.config.mode = mode;
  world.config.claim_timeout_usec = 60 * World::second;
  world.client("disk").preserves("disk", {1, 2});
  world.client("guest").needs({"disk"}).preserves("guest", {1});
  world.boot();
  if (mode == Mode::orderly) {
    world.before_step = [&] {
      if (world.pid_one.kexec_job) world.finish_orderly_kexec();
    };
  }
  world.machine.bug_at(effect, nth);
  const auto outcome = world.update();
  const bool met = !world.machine.bug_is_ahead();
  SCOPED_TRACE(effect + " " + std::to_string(nth) + ": " + outcome);
  EXPECT_NE(outcome, "it never ends");
  world.machine.bug_at("", 0);
  EXPECT_TRUE(world.calm_down());
  EXPECT_EQ(world.processes, world.kernels) << "nobody died of it";
  // PID 1 keeps what it was not told to forget, until the daemon starts again.
  if (effect == "forget_fd") world.kill_daemon();
  expect_all_is_well(world);
  if (met) {
    EXPECT_EQ(world.update(), "done");
    expect_all_is_well(world);
  }
  return met;
}

TEST(UnloadBugTest, EndsNoCancel) {
  World world;
  world.client("disk").preserves("disk", {1});
  world.boot();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  world.settle();
  world.machine.bug_at("unload", 1);
  ASSERT_TRUE(world.cancel());
  EXPECT_EQ(world.outcome(), "cancelled");
  EXPECT_FALSE(world.machine.bug_is_ahead());
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

class BugTest : public testing::TestWithParam<const char*> {};

TEST_P(BugTest, CostsTheOperationAlone) {
  for (const auto mode : {Mode::immediate, Mode::orderly}) {
    std::uint64_t nth = 1;
    while (update_with_bug(GetParam(), nth, mode) && !HasFailure()) ++nth;
    EXPECT_GT(nth, mode == Mode::orderly ? 0U : 1U) << "no bug was met";
  }
}

INSTANTIATE_TEST_SUITE_P(Effects, BugTest,
                         testing::Values("load", "sync", "collapse", "luo open",
                                         "luo create_session", "luo retrieve_session", "luo finish",
                                         "store_fd", "forget_fd", "barrier", "replace_state",
                                         "remove_state"),
                         [](const auto& effect) {
                           std::string name = effect.param;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace handover::engine::test

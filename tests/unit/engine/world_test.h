// SPDX-License-Identifier: LGPL-2.1-or-later
// What tests of the whole engine have in common.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "world.h"

namespace handover::engine::test {

using Life = FakeClient::Life;
using Strings = std::vector<std::string>;

inline std::string lines(const Strings& all) {
  std::string text;
  for (const auto& line : all) text += line + "\n";
  return text;
}

inline std::string name_of_state(const testing::TestParamInfo<State>& state) {
  return std::string(to_string(state.param));
}

/// Everything comes to rest, and is as it should be.
inline void expect_all_is_well(World& world) {
  EXPECT_TRUE(world.calm_down()) << "it does not come to rest";
  EXPECT_EQ(lines(world.wrong()), "");
}

class WorldTest : public testing::Test {
 protected:
  WorldTest() : WorldTest(World::Options{}) {}
  explicit WorldTest(World::Options options) : world(options) {}

  World world;

  /// disk ← guest, each with a session of its own.
  void boot_two() {
    world.client("disk").preserves("disk", {1, 2});
    world.client("guest").needs({"disk"}).preserves("guest", {1});
    world.boot();
  }
  static UpdateOptions orderly() {
    UpdateOptions options;
    options.mode = Mode::orderly;
    return options;
  }
  /// An orderly update up to where PID 1 stops the units: it has the job of kexec.target.
  void begin_orderly_kexec() {
    ASSERT_TRUE(world.update_until(State::rebooting, orderly()));
    ASSERT_TRUE(world.run_until([&] { return world.pid_one.kexec_job; }));
  }
  FakeClient& disk() { return world.client("disk"); }
  FakeClient& guest() { return world.client("guest"); }
  /// In this order in the list of calls to clients.
  void expect_order(const Strings& calls) const {
    std::size_t from = 0;
    const auto& made = world.announced.calls;
    for (const auto& call : calls) {
      while (from < made.size() && made[from] != call) ++from;
      ASSERT_LT(from, made.size()) << "no '" << call << "' in its place in\n" << lines(made);
      ++from;
    }
  }
  [[nodiscard]] const Strings& calls() const { return world.announced.calls; }
  /// The last update's record.
  HistoryEntry newest() {
    const auto history = world.history();
    return history.empty() ? HistoryEntry{} : history.front();
  }
};

}  // namespace handover::engine::test

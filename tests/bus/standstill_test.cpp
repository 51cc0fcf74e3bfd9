// SPDX-License-Identifier: LGPL-2.1-or-later
// The blackout is the longest standstill of all clients, and the record says whose.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

#include "host.h"

namespace handover::test {
namespace {

/// From the record's own instants.
double standstill_usec(const nlohmann::json& entry, const char* client) {
  constexpr double usec_per_second = 1e6;
  const auto& timeline = entry["timeline"];
  const auto& times = timeline["clients"][client];
  const auto ticks =
      times["running_at"].get<std::uint64_t>() - times["frozen_at"].get<std::uint64_t>();
  return static_cast<double>(ticks) * usec_per_second / timeline["ticks_per_second"].get<double>();
}

TEST(Standstill, LongestIsTheBlackout) {
  Host host;
  host.boot();
  // Last to freeze and first to run, and the other way round.
  host.add({.name = "base"});
  host.add({.name = "middle", .needs = {"base"}});
  host.add({.name = "top", .needs = {"middle"}});
  ASSERT_TRUE(host.start_clients());
  host.update_ends("done");
  auto entry = host.history().at(0);
  EXPECT_EQ(entry["blackout_client"], "top") << entry;
  EXPECT_EQ(entry["shortest_standstill_client"], "base") << entry;
  EXPECT_NEAR(entry["blackout_usec"].get<double>(), standstill_usec(entry, "top"), 2);
  EXPECT_NEAR(entry["shortest_standstill_usec"].get<double>(), standstill_usec(entry, "base"), 2);
  EXPECT_LT(entry["shortest_standstill_usec"], entry["blackout_usec"]);
}

TEST(Standstill, OfAnUpdateThatWasUndoneCountsToo) {
  Host host;
  host.boot();
  auto& base = host.add({.name = "base"});
  host.add({.name = "top", .needs = {"base"}});
  ASSERT_TRUE(host.start_clients());
  base.on(Call::freeze, ScriptedClient::Behaviour::veto);
  host.update_ends("failed");
  auto entry = host.history().at(0);
  EXPECT_EQ(entry["blackout_client"], "top") << entry;
  EXPECT_NEAR(entry["blackout_usec"].get<double>(), standstill_usec(entry, "top"), 2);
}

}  // namespace
}  // namespace handover::test

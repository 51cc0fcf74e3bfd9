// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "core/update_fields.h"
#include "records.h"

namespace handover {
namespace {

using test::json_of;
using test::record_of;

constexpr std::uint64_t per_second = 3'000'000'000;
constexpr Ticks ms(std::uint64_t count) { return count * per_second / 1000; }

constexpr std::array marks = {Mark::requested,        Mark::preflight_done, Mark::target_loaded,
                              Mark::clients_prepared, Mark::sessions_ready, Mark::freeze_begin,
                              Mark::clients_frozen,   Mark::sealed,         Mark::kexec_called,
                              Mark::kernel_started,   Mark::init_started,   Mark::daemon_started,
                              Mark::sessions_found,   Mark::first_restored, Mark::clients_restored};

/// Mark number i is at i² ms: every phase has a length of its own (2i - 1 ms).
Timeline whole() {
  Timeline timeline;
  timeline.ticks_per_second = per_second;
  for (std::size_t i = 0; i < marks.size(); ++i) timeline.marks[marks[i]] = ms(1000 + i * i);
  timeline.clients["db"] = {.prepare_usec = 5,
                            .freeze_usec = 6,
                            .restore_usec = std::nullopt,
                            .frozen_at = ms(10),
                            .running_at = ms(30)};
  timeline.clients["idle"] = {};
  return timeline;
}

TEST(Timeline, TicksBecomeMicroseconds) {
  EXPECT_EQ(ticks_to_usec(per_second, per_second), 1'000'000U);
  EXPECT_EQ(ticks_to_usec(3, per_second), 0U);
  EXPECT_EQ(ticks_to_usec(3'000, per_second), 1U);
  EXPECT_EQ(ticks_to_usec(1, 1), 1'000'000U);
  EXPECT_EQ(ticks_to_usec(12'345, 0), 0U);
  // Ten years of a 5 GHz counter: the product would not fit into 64 bits.
  constexpr std::uint64_t ten_years = 10ULL * 365 * 86'400;
  EXPECT_EQ(ticks_to_usec(ten_years * 3'500'000'000ULL / 7 * 5, 2'500'000'000ULL),
            ten_years * 1'000'000);
  EXPECT_EQ(ticks_to_usec(std::numeric_limits<Ticks>::max(), 1),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(ticks_to_usec(std::numeric_limits<Ticks>::max() - 1,
                          std::numeric_limits<std::uint64_t>::max()),
            1'000'000U);
}

TEST(Timeline, PhasesLieBetweenTheMarksInOrder) {
  const std::vector<Phase> expected = {
      {"preflight", 1'000, false}, {"load", 3'000, false}, {"prepare", 5'000, false},
      {"collapse", 7'000, false},  {"wait", 9'000, false}, {"freeze", 11'000, false},
      {"seal", 13'000, true},      {"stop", 15'000, true}, {"kexec", 17'000, true},
      {"kernel", 19'000, true},    {"init", 21'000, true}, {"daemon", 23'000, true},
      {"restore", 25'000, true},   {"rest", 27'000, true},
  };
  EXPECT_EQ(phases(whole()), expected);
}

TEST(Timeline, SyncIsAPhaseWhereThereWasOne) {
  auto timeline = whole();
  const auto sealed = timeline.marks.at(Mark::sealed);
  timeline.marks[Mark::synced] = sealed + ms(1);
  const auto all = phases(timeline);
  const auto sync =
      std::find_if(all.begin(), all.end(), [](const Phase& phase) { return phase.name == "sync"; });
  ASSERT_NE(sync, all.end());
  EXPECT_EQ(*sync, (Phase{"sync", 1'000, true}));
  EXPECT_EQ(*std::next(sync), (Phase{"stop", 14'000, true}));
}

// Of one client, frozen last and running last, they are its standstill.
TEST(Timeline, ThePhasesInTheBlackoutSumUpToIt) {
  Timeline timeline = whole();
  std::uint64_t sum = 0;
  for (const Phase& phase : phases(timeline)) sum += phase.in_blackout ? phase.usec : 0;
  timeline.clients["db"].frozen_at = timeline.marks.at(Mark::clients_frozen);
  timeline.clients["db"].running_at = timeline.marks.at(Mark::clients_restored);
  EXPECT_EQ(sum, blackout_usec(timeline));
  timeline.clients.clear();
  EXPECT_EQ(sum, blackout_usec(timeline)) << "by the marks it is the same";
}

// Any marks may be missing: names and lengths are never lost, only joined.
TEST(Timeline, AMissingMarkJoinsItsNeighbours) {
  const Timeline full = whole();
  for (unsigned missing = 0; missing < 1U << marks.size(); ++missing) {
    Timeline timeline = full;
    for (std::size_t i = 0; i < marks.size(); ++i) {
      if ((missing >> i & 1U) != 0) timeline.marks.erase(marks[i]);
    }
    const std::vector<Phase> found = phases(timeline);
    ASSERT_EQ(found.size(), timeline.marks.empty() ? 0 : timeline.marks.size() - 1);
    std::uint64_t sum = 0;
    std::string names;
    for (const Phase& phase : found) {
      sum += phase.usec;
      names += (names.empty() ? "" : "+") + phase.name;
    }
    if (found.empty()) continue;
    const Ticks first = timeline.marks.begin()->second;
    const Ticks last = timeline.marks.rbegin()->second;
    ASSERT_EQ(sum, (last - first) * 1'000'000 / per_second);
    Timeline ends = full;
    std::erase_if(ends.marks,
                  [&](const auto& mark) { return mark.second < first || mark.second > last; });
    std::string expected;
    for (const Phase& phase : phases(ends)) {
      expected += (expected.empty() ? "" : "+") + phase.name;
    }
    ASSERT_EQ(names, expected);
  }
  Timeline timeline = full;
  timeline.marks.erase(Mark::init_started);
  EXPECT_EQ(phases(timeline).at(9), (Phase{"kernel+init", 40'000, true}));
}

TEST(Timeline, AMarkBeforeAnEarlierOneMakesAPhaseOfZero) {
  Timeline timeline;
  timeline.ticks_per_second = per_second;
  timeline.marks = {{Mark::clients_frozen, ms(100)},
                    {Mark::kexec_called, ms(200)},
                    {Mark::kernel_started, ms(199)},  // worked out from the uptime: 1 ms off
                    {Mark::init_started, ms(250)},
                    {Mark::first_restored, ms(300)}};
  const std::vector<Phase> found = phases(timeline);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[1], (Phase{"kexec", 0, true}));
  EXPECT_EQ(found[2], (Phase{"kernel", 50'000, true}));
  EXPECT_EQ(blackout_usec(timeline), 200'000U);
}

TEST(Timeline, NoPhasesOfNothing) {
  EXPECT_TRUE(phases({}).empty());
  Timeline one;
  one.marks[Mark::requested] = 5;
  EXPECT_TRUE(phases(one).empty());
}

TEST(Timeline, TheBlackoutNeedsBothEnds) {
  EXPECT_EQ(blackout_usec(Timeline{}), std::nullopt);
  Timeline timeline = whole();
  timeline.clients.clear();
  EXPECT_EQ(blackout_usec(timeline), 160'000U);  // 14² - 6² ms
  timeline.marks.erase(Mark::clients_restored);
  EXPECT_EQ(blackout_usec(timeline), 133'000U) << "as far as it is known";
  timeline.marks.erase(Mark::first_restored);
  EXPECT_EQ(blackout_usec(timeline), std::nullopt);
  timeline = whole();
  timeline.clients["db"].running_at.reset();
  EXPECT_EQ(blackout_usec(timeline), 160'000U) << "nobody has run again: by the marks";
  timeline.ticks_per_second = 0;
  EXPECT_EQ(blackout_usec(timeline), std::nullopt);
}

// The first client to run again says nothing of the last one.
TEST(Timeline, TheBlackoutIsTheLongestStandstill) {
  Timeline timeline;
  timeline.ticks_per_second = per_second;
  EXPECT_EQ(longest(timeline), std::nullopt);
  EXPECT_EQ(shortest(timeline), std::nullopt);
  timeline.clients["a"].frozen_at = ms(10);
  timeline.clients["b"].frozen_at = ms(20);
  EXPECT_EQ(longest(timeline), std::nullopt);
  EXPECT_EQ(blackout_usec(timeline), std::nullopt);
  timeline.clients["b"].running_at = ms(50);
  EXPECT_EQ(longest(timeline), (Standstill{"b", 30'000}));
  EXPECT_EQ(shortest(timeline), (Standstill{"b", 30'000}));
  timeline.clients["a"].running_at = ms(90);
  timeline.clients["c"] = timeline.clients["a"];
  timeline.clients["d"] = timeline.clients["b"];
  EXPECT_EQ(longest(timeline), (Standstill{"a", 80'000})) << "the first of two";
  EXPECT_EQ(shortest(timeline), (Standstill{"b", 30'000}));
  EXPECT_EQ(blackout_usec(timeline), 80'000U);
  // Also one that the marks do not tell of: it was frozen last and thawed first.
  timeline.marks = {{Mark::clients_frozen, ms(20)}, {Mark::first_restored, ms(21)}};
  EXPECT_EQ(blackout_usec(timeline), 80'000U);
  timeline.ticks_per_second = 0;
  EXPECT_EQ(longest(timeline), std::nullopt);
}

TEST(Timeline, AStandstillNeedsBothEnds) {
  ClientTimes times;
  EXPECT_EQ(standstill_usec(times, per_second), std::nullopt);
  times.frozen_at = ms(10);
  EXPECT_EQ(standstill_usec(times, per_second), std::nullopt);
  times.running_at = ms(12);
  EXPECT_EQ(standstill_usec(times, per_second), 2'000U);
  times.running_at = ms(9);
  EXPECT_EQ(standstill_usec(times, per_second), 0U);
}

TEST(Timeline, ComesBackFromJson) {
  const auto back = record_of<Timeline>(json_of(whole()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, whole());
  EXPECT_EQ(*record_of<Timeline>(json_of(Timeline{})), Timeline{});
}

TEST(Timeline, KeepsWhatANewerVersionWrote) {
  nlohmann::json json = json_of(whole());
  json["precision"] = "exact";
  json["marks"]["lunch"] = 12;
  json["clients"]["db"]["mood"] = {1, 2};
  const auto timeline = record_of<Timeline>(json);
  ASSERT_TRUE(timeline) << timeline.error().message;
  EXPECT_EQ(timeline->marks, whole().marks);
  EXPECT_EQ(json_of(*timeline), json);
}

TEST(Timeline, RefusesBadJsonWithTheField) {
  const auto refused = [](const nlohmann::json& json, const std::string& field) {
    const auto timeline = record_of<Timeline>(json);
    ASSERT_FALSE(timeline) << json;
    EXPECT_EQ(timeline.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(timeline.error().message.find(field), std::string::npos) << timeline.error().message;
  };
  refused(nullptr, "object");
  refused({1, 2}, "object");
  refused(nlohmann::json::object(), "/ticks_per_second");
  refused({{"ticks_per_second", -1}}, "/ticks_per_second");
  refused({{"ticks_per_second", 1}, {"marks", 3}}, "/marks");
  refused({{"ticks_per_second", 1}, {"marks", {{"sealed", "soon"}}}}, "/marks/sealed");
  refused({{"ticks_per_second", 1}, {"clients", nlohmann::json::array()}}, "/clients");
  refused({{"ticks_per_second", 1}, {"clients", {{"db", 1}}}}, "/clients/db");
  refused({{"ticks_per_second", 1}, {"clients", {{"db", {{"frozen_at", 1.5}}}}}},
          "/clients/db/frozen_at");
}

}  // namespace
}  // namespace handover

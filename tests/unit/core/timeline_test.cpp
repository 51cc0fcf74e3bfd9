// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/timeline.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <set>

namespace handover {
namespace {

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
      {"preflight", 1'000, false}, {"load", 3'000, false},  {"prepare", 5'000, false},
      {"collapse", 7'000, false},  {"wait", 9'000, false},  {"freeze", 11'000, false},
      {"seal", 13'000, true},      {"stop", 15'000, true},  {"kexec", 17'000, true},
      {"kernel", 19'000, true},    {"init", 21'000, true},  {"daemon", 23'000, true},
      {"restore", 25'000, true},   {"rest", 27'000, false},
  };
  EXPECT_EQ(phases(whole()), expected);
}

TEST(Timeline, ThePhasesInTheBlackoutSumUpToIt) {
  std::uint64_t sum = 0;
  for (const Phase& phase : phases(whole())) sum += phase.in_blackout ? phase.usec : 0;
  EXPECT_EQ(sum, blackout_usec(whole()));
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
  EXPECT_EQ(blackout_usec(timeline), 133'000U);  // 13² - 6² ms
  timeline.marks.erase(Mark::first_restored);
  EXPECT_EQ(blackout_usec(timeline), std::nullopt);
  timeline = whole();
  timeline.ticks_per_second = 0;
  EXPECT_EQ(blackout_usec(timeline), std::nullopt);
}

TEST(Timeline, AThawedUpdateHasABlackoutByItsClients) {
  Timeline timeline;
  timeline.ticks_per_second = per_second;
  timeline.clients["a"].frozen_at = ms(10);
  timeline.clients["b"].frozen_at = ms(20);
  EXPECT_EQ(blackout_usec(timeline), std::nullopt);
  timeline.clients["a"].running_at = ms(90);
  timeline.clients["b"].running_at = ms(50);
  EXPECT_EQ(blackout_usec(timeline), 30'000U);
  EXPECT_EQ(blackout_usec(timeline.clients["a"], per_second), 80'000U);
  EXPECT_EQ(blackout_usec(timeline.clients["b"], per_second), 30'000U);
  EXPECT_EQ(blackout_usec(ClientTimes{}, per_second), std::nullopt);
}

TEST(Timeline, MarkNamesAreUnique) {
  std::set<std::string_view> names;
  for (const Mark mark : marks) names.insert(to_string(mark));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Mark::clients_restored) + 1);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(Timeline, ComesBackFromJson) {
  const auto back = timeline_from_json(to_json(whole()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, whole());
  EXPECT_EQ(*timeline_from_json(to_json(Timeline{})), Timeline{});
}

TEST(Timeline, KeepsWhatANewerVersionWrote) {
  nlohmann::json json = to_json(whole());
  json["precision"] = "exact";
  json["marks"]["lunch"] = 12;
  json["clients"]["db"]["mood"] = {1, 2};
  const auto timeline = timeline_from_json(json);
  ASSERT_TRUE(timeline) << timeline.error().message;
  EXPECT_EQ(timeline->marks, whole().marks);
  EXPECT_EQ(to_json(*timeline), json);
}

TEST(Timeline, RefusesBadJsonWithTheField) {
  const auto refused = [](const nlohmann::json& json, const std::string& field) {
    const auto timeline = timeline_from_json(json);
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

HistoryEntry entry() {
  HistoryEntry made;
  made.id = 7;
  made.generation = 3;
  made.outcome = "done-with-losses";
  made.reason = "client 'cache' did not come back";
  made.mode = "orderly";
  made.from_release = "7.2.13";
  made.to_release = "7.3.4";
  made.finished_at = "2026-01-02T03:04:05Z";
  made.timeline = whole();
  made.losses = {"session 'cache': 2 descriptors were freed"};
  return made;
}

TEST(History, ComesBackFromJson) {
  const auto back = history_from_json(to_json(entry()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, entry());
}

TEST(History, HasItsPhasesAndBlackoutWorkedOutForReaders) {
  const nlohmann::json json = to_json(entry());
  EXPECT_EQ(json["blackout_usec"], 133'000);
  ASSERT_EQ(json["phases"].size(), 14U);
  EXPECT_EQ(json["phases"][6],
            (nlohmann::json{{"name", "seal"}, {"usec", 13'000}, {"in_blackout", true}}));
  HistoryEntry without = entry();
  without.timeline = {};
  EXPECT_FALSE(to_json(without).contains("blackout_usec"));
}

TEST(History, KeepsUnknownFieldsAndRefusesMissingOnes) {
  nlohmann::json json = to_json(entry());
  json["operator"] = "somebody";
  const auto kept = history_from_json(json);
  ASSERT_TRUE(kept);
  EXPECT_EQ(to_json(*kept), json);
  for (const char* field : {"id", "generation", "outcome", "reason", "mode", "from_release",
                            "to_release", "finished_at", "losses", "timeline"}) {
    nlohmann::json cut = json;
    cut.erase(field);
    const auto refused = history_from_json(cut);
    ASSERT_FALSE(refused) << field;
    EXPECT_NE(refused.error().message.find(field), std::string::npos) << refused.error().message;
    nlohmann::json wrong = json;
    wrong[field] = true;
    EXPECT_FALSE(history_from_json(wrong)) << field;
  }
}

}  // namespace
}  // namespace handover

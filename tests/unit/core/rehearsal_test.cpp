// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/rehearsal.h"

#include <gtest/gtest.h>

#include "core/history_entry.h"

namespace handover {
namespace {

constexpr std::uint64_t per_second = 1'000'000;  // a tick is a microsecond

Timeline rehearsed() {
  Timeline timeline;
  timeline.ticks_per_second = per_second;
  timeline.marks = {{Mark::freeze_begin, 1000},
                    {Mark::clients_frozen, 1500},
                    {Mark::sealed, 1600},
                    {Mark::synced, 1900},
                    {Mark::thawed, 2500}};
  timeline.clients["early"].frozen_at = 1100;
  timeline.clients["early"].running_at = 2500;
  timeline.clients["late"].frozen_at = 1500;
  timeline.clients["late"].running_at = 2000;
  return timeline;
}

HistoryEntry update(std::uint64_t id, Mode mode, Outcome outcome, Ticks boot) {
  HistoryEntry entry;
  entry.id = id;
  entry.mode = mode;
  entry.outcome = outcome;
  entry.timeline.ticks_per_second = per_second;
  entry.timeline.marks = {{Mark::kexec_called, 7000}, {Mark::clients_restored, 7000 + boot}};
  return entry;
}

TEST(Rehearsal, ToTheRebootCallIsFromTheFirstFrozenClient) {
  EXPECT_EQ(usec_to_reboot(rehearsed()), 800U);
  auto nobody = rehearsed();
  nobody.clients.clear();
  EXPECT_EQ(usec_to_reboot(nobody), 400U);
  auto ended_early = rehearsed();
  ended_early.marks.erase(Mark::synced);
  EXPECT_FALSE(usec_to_reboot(ended_early));
  EXPECT_FALSE(usec_to_reboot(Timeline{}));
}

TEST(Rehearsal, EstimateTakesTheNewestBootOfTheSameMode) {
  const std::vector<HistoryEntry> history = {
      update(9, Mode::immediate, Outcome::rehearsed, 1),
      update(8, Mode::immediate, Outcome::failed, 2),
      update(7, Mode::orderly, Outcome::done, 9'000'000),
      update(6, Mode::immediate, Outcome::done_with_losses, 2'000'000),
      update(5, Mode::immediate, Outcome::done, 3'000'000)};
  auto estimate = estimate_blackout(rehearsed(), Mode::immediate, history);
  ASSERT_TRUE(estimate);
  EXPECT_EQ(estimate->usec, 2'000'800U);
  EXPECT_EQ(estimate->from, 6U);
  estimate = estimate_blackout(rehearsed(), Mode::orderly, history);
  ASSERT_TRUE(estimate);
  EXPECT_EQ(estimate->from, 7U);
  EXPECT_FALSE(estimate_blackout(rehearsed(), Mode::emulated, history));
  EXPECT_FALSE(estimate_blackout(rehearsed(), Mode::immediate, {}));
  EXPECT_FALSE(estimate_blackout(Timeline{}, Mode::immediate, history));
}

TEST(Rehearsal, ARecordWithoutItsMarksTellsNothing) {
  auto entry = update(5, Mode::immediate, Outcome::done, 100);
  entry.timeline.marks.erase(Mark::kexec_called);
  auto backwards = update(4, Mode::immediate, Outcome::done, 100);
  backwards.timeline.marks[Mark::clients_restored] = 10;
  EXPECT_FALSE(estimate_blackout(rehearsed(), Mode::immediate, std::vector{entry, backwards}));
}

TEST(Rehearsal, NamesWhoStoodStillForLongerThanWasAskedFor) {
  EXPECT_EQ(over_limit(rehearsed(), 1400), "");
  EXPECT_EQ(over_limit(rehearsed(), 1399), "client 'early' stood still for 1 ms, longer than 1 ms");
  EXPECT_EQ(over_limit(rehearsed(), 0), "");
  EXPECT_EQ(over_limit(Timeline{}, 1), "");
}

TEST(Rehearsal, SaysWhatOnlyAnUpdateShows) {
  EXPECT_EQ(not_rehearsed(Mode::emulated, false), (std::vector<std::string>{"Restore"}));
  EXPECT_EQ(not_rehearsed(Mode::immediate, false).size(), 2U);
  EXPECT_EQ(not_rehearsed(Mode::immediate, true).size(), 3U);
  EXPECT_EQ(not_rehearsed(Mode::orderly, true).size(), 4U);
}

TEST(Rehearsal, HasPhasesOfItsOwn) {
  auto timeline = rehearsed();
  std::vector<std::string> names;
  for (const auto& phase : phases(timeline)) names.push_back(phase.name);
  EXPECT_EQ(names, (std::vector<std::string>{"freeze", "seal", "sync", "thaw"}));
}

TEST(Rehearsal, TravelsInTheHistory) {
  HistoryEntry entry = update(3, Mode::immediate, Outcome::rehearsed, 0);
  Rehearsal rehearsal;
  rehearsal.at_most_usec = 500'000;
  rehearsal.estimate_usec = 4'000'000;
  rehearsal.estimate_from = 2;
  rehearsal.not_rehearsed = {"Restore"};
  entry.rehearsal = rehearsal;
  const auto text = serialize(std::vector{entry});
  EXPECT_NE(text.find(R"("outcome":"rehearsed")"), std::string::npos) << text;
  const auto again = parse_history(text);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->front().rehearsal, rehearsal);
  // An empty object says that it was one.
  entry.rehearsal = Rehearsal{};
  EXPECT_EQ(parse_history(serialize(std::vector{entry}))->front().rehearsal, Rehearsal{});
}

}  // namespace
}  // namespace handover

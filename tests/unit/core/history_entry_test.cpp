// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/history_entry.h"

#include <gtest/gtest.h>

#include "support/utf8.h"

namespace handover {
namespace {

constexpr std::uint64_t per_second = 1'000'000;

/// Mark number i is at i² µs.
Timeline timeline() {
  Timeline made;
  made.ticks_per_second = per_second;
  for (const Mark mark : all_values<Mark>()) {
    const auto i = static_cast<Ticks>(mark);
    made.marks[mark] = 1000 + i * i;
  }
  made.clients["db"] = {.prepare_usec = 5,
                        .freeze_usec = 6,
                        .restore_usec = std::nullopt,
                        .frozen_at = 10,
                        .running_at = 30,
                        .extra = {}};
  made.clients["idle"] = {};
  return made;
}

HistoryEntry entry() {
  HistoryEntry made;
  made.id = 7;
  made.generation = 3;
  made.outcome = Outcome::done_with_losses;
  made.reason = "client 'cache' did not come back";
  made.mode = Mode::orderly;
  made.from_release = "7.2.13";
  made.to_release = "7.3.4";
  made.finished_at = "2026-01-02T03:04:05Z";
  made.timeline = timeline();
  made.losses = {"session 'cache': 2 descriptors were freed"};
  return made;
}

nlohmann::json json_of(const HistoryEntry& made) { return nlohmann::json::parse(serialize(made)); }

Result<HistoryEntry> from_json(const nlohmann::json& json) {
  auto entries = parse_history(nlohmann::json::array({json}).dump());
  if (!entries) return fail(entries.error());
  return entries->at(0);
}

TEST(History, ComesBackAsItWas) {
  HistoryEntry other = entry();
  other.id = 6;
  other.timeline = {};
  other.left_out = {{"cache", "it vetoed"}, {"web", "it is not here"}};
  other.error = "org.handover1.Error.Vetoed";
  other.client = "db";
  other.call = "Freeze";
  other.overruled = "The target has no initrd.";
  const std::vector entries{entry(), other, HistoryEntry{}};
  const auto back = parse_history(serialize(entries));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, entries);
  EXPECT_EQ(serialize(*back), serialize(entries));
  EXPECT_TRUE(parse_history(serialize(std::span<const HistoryEntry>{}))->empty());
}

TEST(History, HasWhatReadersWithoutTicksNeed) {
  const auto json = json_of(entry());
  EXPECT_EQ(json["blackout_usec"], 20);
  EXPECT_EQ(json["blackout_client"], "db");
  EXPECT_EQ(json["shortest_standstill_usec"], 20);
  EXPECT_EQ(json["shortest_standstill_client"], "db");
  ASSERT_EQ(json["phases"].size(), 16U);
  EXPECT_EQ(json["phases"][6],
            (nlohmann::json{{"name", "seal"}, {"usec", 13}, {"in_blackout", true}}));
  EXPECT_EQ(json["timeline"]["clients"]["db"]["blackout_usec"], 20);
  EXPECT_FALSE(json["timeline"]["clients"]["idle"].contains("blackout_usec"));
  HistoryEntry without = entry();
  without.timeline = {};
  for (const char* field :
       {"blackout_usec", "blackout_client", "shortest_standstill_usec",
        "shortest_standstill_client", "left_out", "overruled", "error", "client", "call", "hook"}) {
    EXPECT_FALSE(json_of(without).contains(field)) << field;
  }
  without.timeline = timeline();
  without.timeline.clients.clear();
  EXPECT_EQ(json_of(without)["blackout_usec"], 220) << "by the marks";
  EXPECT_FALSE(json_of(without).contains("blackout_client"));
}

TEST(History, KeepsUnknownFieldsAndRefusesMissingOnes) {
  auto json = json_of(entry());
  json["operator"] = "somebody";
  const auto kept = from_json(json);
  ASSERT_TRUE(kept);
  EXPECT_EQ(json_of(*kept), json);
  for (const char* field : {"id", "generation", "outcome", "reason", "mode", "from_release",
                            "to_release", "finished_at", "losses", "timeline"}) {
    auto cut = json;
    cut.erase(field);
    const auto refused = from_json(cut);
    ASSERT_FALSE(refused) << field;
    EXPECT_EQ(refused.error().code, ErrorCode::manifest_invalid);
    EXPECT_NE(refused.error().message.find("/0/" + std::string(field)), std::string::npos)
        << refused.error().message;
    auto wrong = json;
    wrong[field] = true;
    EXPECT_FALSE(from_json(wrong)) << field;
  }
}

// A history outlives the daemons that write it, older ones included.
TEST(History, KeepsTheWordsOfANewerVersion) {
  auto json = json_of(entry());
  json["outcome"] = "postponed";
  json["mode"] = "rehearsal";
  const auto kept = from_json(json);
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(kept->outcome, Outcome::failed);
  EXPECT_EQ(kept->mode, Mode::external);
  EXPECT_EQ(json_of(*kept), json);
}

TEST(History, ReadsWhatIsNoHistoryAsAnError) {
  for (const auto* text : {"", "{}", "[{", "[1]", "null", "[[]]"}) {
    const auto refused = parse_history(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::manifest_invalid);
  }
}

TEST(History, WritesWhatIsNotUtf8WithoutThrowing) {
  HistoryEntry bad = entry();
  bad.to_release = "7.3.4\xff";
  bad.losses = {"\xc3"};
  const auto text = serialize(bad);
  EXPECT_TRUE(test::is_utf8(text));
  EXPECT_EQ(from_json(nlohmann::json::parse(text))->to_release, "7.3.4\xEF\xBF\xBD");
}

TEST(History, AnUpdateIsKnownByItsIdAndItsBegin) {
  HistoryEntry later = entry();
  EXPECT_TRUE(same_update(entry(), later));
  later.timeline.marks[Mark::requested] += 1;
  EXPECT_FALSE(same_update(entry(), later));
  later = entry();
  later.id = 8;
  EXPECT_FALSE(same_update(entry(), later));
}

}  // namespace
}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/pending.h"

#include <gtest/gtest.h>

namespace handover {
namespace {

PendingUpdate full() {
  PendingUpdate pending;
  pending.id = 7;
  pending.mode = Mode::orderly;
  pending.from_release = "7.3.4-old";
  pending.to_release = "7.3.5-new";
  pending.image = "100-0000beef";
  pending.boot_id = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
  pending.timeline.ticks_per_second = 1'000'000;
  pending.timeline.marks[Mark::requested] = 300;
  pending.sessions = {{"db-primary", "db"}, {"Grüße", ""}};
  return pending;
}

nlohmann::json full_json() { return nlohmann::json::parse(serialize(full())); }

std::string refusal_of(const std::string& text) {
  const auto parsed = parse_pending(text);
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code, ErrorCode::manifest_invalid);
  return parsed.error().message;
}

TEST(Pending, ComesBackWhole) {
  EXPECT_EQ(parse_pending(serialize(full())), full());
  EXPECT_EQ(parse_pending(serialize(PendingUpdate{})), PendingUpdate{});
}

TEST(Pending, IsRefusedWhereverItIsCut) {
  auto text = serialize(full());
  text.pop_back();  // the newline is not missed
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_NE(refusal_of(text.substr(0, length)), "") << length;
  }
}

TEST(Pending, DoesNotCrashWhateverByteIsGarbled) {
  const auto text = serialize(full());
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char byte : {'\0', '"', '{', '9', '\xff'}) {
      auto garbled = text;
      garbled[i] = byte;
      (void)parse_pending(garbled);
    }
  }
}

TEST(Pending, OfAnotherVersionSaysSo) {
  auto json = full_json();
  json["version"] = 2;
  json.erase("sessions");
  EXPECT_NE(refusal_of(json.dump()).find("version 2"), std::string::npos);
}

TEST(Pending, KeepsWhatANewerVersionWrote) {
  auto json = full_json();
  json["mode"] = "rehearsal";
  json["operator"] = "somebody";
  const auto read = parse_pending(json.dump());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->mode, Mode::external);
  EXPECT_EQ(nlohmann::json::parse(serialize(*read)), json);
}

TEST(Pending, WritesWhatIsNotUtf8) {
  PendingUpdate pending = full();
  pending.to_release = "7.3\xff";
  EXPECT_EQ(parse_pending(serialize(pending))->to_release, "7.3\xEF\xBF\xBD");
}

TEST(Pending, NamesTheBadField) {
  const auto full = full_json();
  for (const auto& [name, value] : full.items()) {
    auto json = full;
    json[name] = nullptr;
    EXPECT_NE(refusal_of(json.dump()).find("/" + name), std::string::npos) << name;
    json.erase(name);
    if (name == "image") {  // an earlier version wrote none
      EXPECT_EQ(refusal_of(json.dump()), "");
      continue;
    }
    EXPECT_NE(refusal_of(json.dump()).find("/" + name), std::string::npos) << name;
  }
  for (const char* bad : {"", "a/b", "a\nb"}) {
    auto json = full;
    json["sessions"][1]["name"] = bad;
    EXPECT_NE(refusal_of(json.dump()).find("/sessions/1/name"), std::string::npos);
  }
}

TEST(Pending, IsALossOnlyInAnotherKernel) {
  EXPECT_TRUE(lost_its_sessions(full(), /*same_kernel=*/false, {}));
  EXPECT_FALSE(lost_its_sessions(full(), /*same_kernel=*/true, {}));
}

TEST(Pending, IsNoLossIfTheHistoryTellsItsEnd) {
  HistoryEntry ended;
  ended.id = 7;
  ended.outcome = Outcome::done;
  ended.timeline.marks[Mark::requested] = 300;
  HistoryEntry other = ended;
  other.timeline.marks[Mark::requested] = 200;  // the same id before another cold boot
  EXPECT_FALSE(lost_its_sessions(full(), false, {other, ended}));
  EXPECT_TRUE(lost_its_sessions(full(), false, {other}));
  other = ended;
  other.id = 6;
  EXPECT_TRUE(lost_its_sessions(full(), false, {other}));
  EXPECT_FALSE(lost_its_sessions(full(), false, {failed_entry(full(), "")}));
}

TEST(Pending, EndsInAFailureThatNamesEachSession) {
  const auto entry = failed_entry(full(), "");
  EXPECT_EQ(entry.id, 7U);
  EXPECT_EQ(entry.outcome, Outcome::failed);
  EXPECT_EQ(entry.mode, Mode::orderly);
  EXPECT_EQ(entry.from_release, "7.3.4-old");
  EXPECT_EQ(entry.to_release, "7.3.5-new");
  EXPECT_NE(entry.reason.find("kexec into 7.3.5-new did not bring the state along"),
            std::string::npos)
      << entry.reason;
  ASSERT_EQ(entry.losses.size(), 2U);
  EXPECT_NE(entry.losses[0].find("'db-primary' of client 'db'"), std::string::npos);
  EXPECT_NE(entry.losses[1].find("'Grüße' is lost"), std::string::npos);
  EXPECT_EQ(failed_entry(full(), "The manifest is garbled.").reason, "The manifest is garbled.");
}

}  // namespace
}  // namespace handover

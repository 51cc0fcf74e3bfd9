// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/kernel_ledger.h"

#include <gtest/gtest.h>

#include <string>

namespace handover {
namespace {

KernelRecord record(const std::string& release, const std::string& image,
                    KernelState state = KernelState::good) {
  KernelRecord made;
  made.kernel = {release, image};
  made.state = state;
  made.when = "2026-11-30T12:00:00Z";
  made.update = 7;
  if (state == KernelState::bad) made.reason = "the health command failed: it ended with status 1";
  return made;
}

KernelLedger ledger() {
  KernelLedger made;
  made.kernels = {record("7.3.5", "100-0000beef", KernelState::bad), record("7.3.4", "90-00c0ffee"),
                  record("7.3.5", "101-0000feed", KernelState::untried)};
  return made;
}

std::string refusal_of(const std::string& text) {
  const auto parsed = parse_kernel_ledger(text);
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code, ErrorCode::manifest_invalid);
  return parsed.error().message;
}

TEST(KernelLedger, ComesBackWhole) {
  EXPECT_EQ(parse_kernel_ledger(serialize(ledger())), ledger());
  EXPECT_EQ(parse_kernel_ledger(serialize(KernelLedger{})), KernelLedger{});
}

TEST(KernelLedger, IsRefusedWhereverItIsCut) {
  auto text = serialize(ledger());
  text.pop_back();  // the newline is not missed
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_NE(refusal_of(text.substr(0, length)), "") << length;
  }
}

TEST(KernelLedger, DoesNotCrashWhateverByteIsGarbled) {
  const auto text = serialize(ledger());
  std::size_t refused = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char byte : {'\0', '"', '{', '9', '\xff'}) {
      auto garbled = text;
      garbled[i] = byte;
      if (!parse_kernel_ledger(garbled)) ++refused;
    }
  }
  EXPECT_GT(refused, text.size());
}

TEST(KernelLedger, RefusesWhatItDoesNotRead) {
  auto json = nlohmann::json::parse(serialize(ledger()));
  json["version"] = 2;
  EXPECT_NE(refusal_of(json.dump()).find("version 2"), std::string::npos);
  json["version"] = 1;
  json["kernels"].push_back(json["kernels"][0]);
  EXPECT_NE(refusal_of(json.dump()).find("twice"), std::string::npos);
  json["kernels"] = {{{"release", 7}}};
  EXPECT_NE(refusal_of(json.dump()).find("/kernels/0/release"), std::string::npos);
}

TEST(KernelLedger, WritesAgainWhatANewerVersionWrote) {
  auto json = nlohmann::json::parse(serialize(ledger()));
  json["kernels"][0]["state"] = "suspicious";
  json["kernels"][0]["by"] = "fleet";
  json["more"] = 1;
  const auto parsed = parse_kernel_ledger(json.dump());
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->kernels[0].state, KernelState::untried);
  EXPECT_EQ(nlohmann::json::parse(serialize(*parsed)), json);
}

TEST(KernelLedger, TakesTheNewestWordOfEachBuild) {
  auto known = ledger();
  note(known, record("7.3.5", "100-0000beef"));
  ASSERT_EQ(known.kernels.size(), 3U);
  ASSERT_NE(find(known, {"7.3.5", "100-0000beef"}), nullptr);
  EXPECT_EQ(find(known, {"7.3.5", "100-0000beef"})->state, KernelState::good);
  EXPECT_EQ(find(known, {"7.3.5", "102-00000000"}), nullptr) << "another build";
  EXPECT_EQ(find(known, {"7.3.6", "100-0000beef"}), nullptr);
}

TEST(KernelLedger, HasBounds) {
  KernelLedger known;
  for (std::size_t i = 0; i < 2 * KernelLedger::most_kernels; ++i) {
    auto one = record("7.3." + std::to_string(i), "1-00000001", KernelState::bad);
    one.reason = std::string(10 * KernelLedger::most_reason_bytes, 'x');
    note(known, std::move(one));
  }
  EXPECT_EQ(known.kernels.size(), KernelLedger::most_kernels);
  EXPECT_NE(find(known, {"7.3.127", "1-00000001"}), nullptr) << "the newest stays";
  EXPECT_LE(known.kernels.front().reason.size(), KernelLedger::most_reason_bytes + 3);
  auto json = nlohmann::json::parse(serialize(known));
  auto more = json["kernels"][0];
  more["release"] = "9";
  json["kernels"].push_back(more);
  const auto parsed = parse_kernel_ledger(json.dump());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->kernels.size(), KernelLedger::most_kernels);
}

TEST(KernelLedger, ForgivesAllBadBuildsOfARelease) {
  auto known = ledger();
  note(known, record("7.3.5", "103-00000003", KernelState::bad));
  EXPECT_EQ(forgive(known, "7.3.5"), 2U);
  EXPECT_EQ(forgive(known, "7.3.5"), 0U);
  EXPECT_EQ(forgive(known, "7.3.4"), 0U) << "it is good";
  EXPECT_EQ(known.kernels.size(), 2U);
}

TEST(KernelLedger, ListsTheImagesOfAHost) {
  const auto listed = list_kernels(ledger(),
                                   {{"/boot/vmlinuz-7.3.4", {"7.3.4", "90-00c0ffee"}},
                                    {"/boot/vmlinuz-7.3.10", {"7.3.10", ""}},
                                    {"/boot/vmlinuz-7.3.5", {"7.3.5", "100-0000beef"}},
                                    {"/boot/vmlinuz-own", {"", ""}}},
                                   "7.3.4");
  ASSERT_EQ(listed.size(), 4U);
  EXPECT_EQ(listed[0].release, "7.3.10");
  EXPECT_EQ(listed[0].state, KernelState::untried);
  EXPECT_FALSE(listed[0].running);
  EXPECT_EQ(listed[1].state, KernelState::bad);
  EXPECT_EQ(listed[1].reason, ledger().kernels[0].reason);
  EXPECT_EQ(listed[2].state, KernelState::good);
  EXPECT_EQ(listed[2].when, "2026-11-30T12:00:00Z");
  EXPECT_TRUE(listed[2].running);
  EXPECT_FALSE(listed[3].running);
}

/// Removed, built again, or called by a path of its own.
TEST(KernelLedger, ListsWhatHasNoImageAnyMore) {
  const auto listed =
      list_kernels(ledger(), {{"/boot/vmlinuz-7.3.5", {"7.3.5", "7-00000007"}}}, "7.3.5");
  ASSERT_EQ(listed.size(), 3U);
  EXPECT_EQ(listed[0].path, "/boot/vmlinuz-7.3.5");
  EXPECT_EQ(listed[0].state, KernelState::untried);
  EXPECT_TRUE(listed[0].running);
  EXPECT_FALSE(listed[1].running);
  EXPECT_EQ(listed[1].path, "");
  EXPECT_EQ(listed[1].release, "7.3.5");
  EXPECT_EQ(listed[1].state, KernelState::bad);
  EXPECT_EQ(listed[1].reason, ledger().kernels[0].reason);
  EXPECT_EQ(listed[2].path, "");
  EXPECT_EQ(listed[2].release, "7.3.4");
  EXPECT_EQ(listed[2].state, KernelState::good);
}

TEST(KernelLedger, TellsBuildsApartByTheirBytes) {
  EXPECT_EQ(image_identity("123456789"), "9-cbf43926");  // the check value of CRC-32
  EXPECT_NE(image_identity("123456789"), image_identity("123456780"));
}

}  // namespace
}  // namespace handover

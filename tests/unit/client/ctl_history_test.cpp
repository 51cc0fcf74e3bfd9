// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "ctl/format.h"
#include "ctl/history.h"

namespace handover::ctl {
namespace {

const nlohmann::json entry = nlohmann::json::parse(R"({
  "id": 4, "generation": 2, "outcome": "done-with-losses", "reason": "Session 'x' is lost.",
  "mode": "immediate", "from_release": "7.2.13", "to_release": "7.3.4",
  "finished_at": "2026-05-01T10:00:00Z", "losses": ["Session 'x' is lost."],
  "blackout_usec": 1432100,
  "phases": [{"name": "freeze", "usec": 12345}, {"name": "kernel", "usec": 1100000}],
  "timeline": {"ticks_per_second": 1, "marks": {}, "clients": {
    "db": {"prepare_usec": 5, "freeze_usec": 1000, "blackout_usec": 1400000}}}
})");

void expect_fits(const std::string& text) {
  std::size_t start = 0;
  for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    EXPECT_LE(text_width(text.substr(start, end - start)), 80U);
  }
}

TEST(History, List) {
  const auto text = history_list(nlohmann::json::array({entry}), 80);
  EXPECT_NE(text.find("4  2026-05-01 10:00:00Z  7.2.13 → 7.3.4  done-with-losses   1.432 s"),
            std::string::npos)
      << text;
  expect_fits(text);
}

TEST(History, Entry) {
  const auto text = history_entry(entry, 80);
  EXPECT_NE(text.find("Update 4: done-with-losses, blackout 1.432 s"), std::string::npos) << text;
  EXPECT_NE(text.find("  freeze  12.3 ms  ▋\n"), std::string::npos) << text;
  EXPECT_NE(text.find("  kernel  1.100 s  █"), std::string::npos) << text;
  EXPECT_NE(text.find("db         5 µs  1.0 ms        -   1.400 s"), std::string::npos) << text;
  EXPECT_NE(text.find("Lost:\n  Session 'x' is lost."), std::string::npos) << text;
  expect_fits(text);
}

TEST(History, TellsWhatWasOverruled) {
  EXPECT_EQ(history_entry(entry, 80).find("overruled"), std::string::npos);
  auto of_one = entry;
  of_one["overruled"] = "initrd-missing (allowed by uid 0), kho-off (by the configuration)";
  const auto text = history_entry(of_one, 80);
  EXPECT_NE(text.find("  overruled: initrd-missing (allowed by uid 0), kho-off (by the"),
            std::string::npos)
      << text;
  expect_fits(text);
}

TEST(History, SentencesAreWrappedAndDriveNoTerminal) {
  auto long_entry = entry;
  const std::string sentence = "Client 'x', Prepare: a\n\033[31mb " + std::string(200, 'y');
  long_entry["reason"] = sentence;
  long_entry["losses"] = {sentence, "short"};
  const auto text = history_entry(long_entry, 80);
  expect_fits(text);
  EXPECT_NE(text.find("  reason: Client 'x', Prepare: a??[31mb\n    yyy"), std::string::npos)
      << text;
  EXPECT_NE(text.find("Lost:\n  Client 'x', Prepare: a??[31mb\n    yyy"), std::string::npos)
      << text;
  EXPECT_NE(text.find("\n  short\n"), std::string::npos) << text;
}

TEST(History, TellsTheLongestStandstillAndTheShortest) {
  auto of_two = entry;
  of_two["blackout_client"] = "vm-3";
  of_two["shortest_standstill_usec"] = 901000U;
  of_two["shortest_standstill_client"] = "db";
  EXPECT_EQ(blackout_text(of_two), "blackout 1.432 s (vm-3), shortest 901.0 ms (db)");
  const auto list = history_list(nlohmann::json::array({of_two}), 80);
  EXPECT_NE(list.find("BLACKOUT  OF    SHORTEST"), std::string::npos) << list;
  EXPECT_NE(list.find(" 1.432 s  vm-3  901.0 ms"), std::string::npos) << list;
  expect_fits(list);
  of_two["shortest_standstill_client"] = "vm-3";
  EXPECT_EQ(blackout_text(of_two), "blackout 1.432 s (vm-3)");
  of_two["blackout_client"] = std::string(63, 'l');
  of_two["shortest_standstill_client"] = std::string(63, 's');
  expect_fits(history_entry(of_two, 80));
  expect_fits(history_list(nlohmann::json::array({of_two, entry}), 80));
}

TEST(History, TellsWhoWasLeftOut) {
  auto without = entry;
  EXPECT_EQ(left_out_text(without), "");
  without["left_out"] = {{{"client", "vm-3"}, {"reason", "it did not answer Freeze in 5 s"}},
                         {{"client", "db"}, {"reason", "it does not want to"}},
                         {{"client", "web"}}};
  EXPECT_EQ(left_out_text(without), ", without vm-3, db and web");
  const auto text = history_entry(without, 80);
  EXPECT_NE(text.find("\nLeft out:\n  vm-3: it did not answer Freeze in 5 s\n"
                      "  db: it does not want to\n  web\n"),
            std::string::npos)
      << text;
  expect_fits(text);
}

TEST(History, WhatIsNotThereIsNoCrash) {
  EXPECT_NE(history_entry(nlohmann::json::object(), 80).find("no blackout"), std::string::npos);
  const auto odd = nlohmann::json::parse(
      R"({"id": "x", "phases": [1, {"name": 2}], "timeline": [], "losses": {"a": 1},
          "left_out": [1, {"client": 2}], "shortest_standstill_usec": "x"})");
  EXPECT_NE(history_entry(odd, 80).find("Update 0"), std::string::npos);
}

}  // namespace
}  // namespace handover::ctl

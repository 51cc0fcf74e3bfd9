// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fleet/window.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>

#include "fleet/calendar.h"
#include "fleet/text.h"

namespace handover::fleet {
namespace {

TEST(Window, NoneMeansAlwaysOpen) {
  const auto state = look_at_windows({}, 100);
  EXPECT_TRUE(state.open());
  EXPECT_TRUE(state.open_at(UINT64_MAX));
  EXPECT_EQ(window_veto(state, 100, true, 1000), "");
}

TEST(Window, IsOpenFromItsElapseUntilItsLengthIsOver) {
  const std::vector<Elapses> weekly = {{{100, 1100}, 50}};
  const auto at = [&](std::uint64_t now) { return look_at_windows(weekly, now); };
  EXPECT_EQ(at(99), (WindowState{true, std::nullopt, 100}));
  EXPECT_EQ(at(100), (WindowState{true, 150, 1100}));
  EXPECT_EQ(at(149), (WindowState{true, 150, 1100}));
  EXPECT_EQ(at(150), (WindowState{true, std::nullopt, 1100}));
  EXPECT_EQ(at(1200), (WindowState{true, std::nullopt, std::nullopt}));
  EXPECT_TRUE(at(149).open_at(149));
  EXPECT_FALSE(at(149).open_at(150));
}

TEST(Window, ThatFollowsWithoutAGapGoesOn) {
  EXPECT_EQ(look_at_windows({{{100, 150, 200}, 50}}, 120), (WindowState{true, 250, std::nullopt}));
  EXPECT_EQ(look_at_windows({{{100}, 50}, {{140, 400}, 30}}, 110), (WindowState{true, 170, 400}));
}

TEST(Window, VetoSaysWhenTheNextOneOpens) {
  const std::uint64_t saturday = *parse_utc("2026-12-05T01:00:00Z");
  const WindowState closed{true, std::nullopt, saturday};
  EXPECT_EQ(window_veto(closed, 5, false, 0),
            "No maintenance window is open; the next one opens at 2026-12-05T01:00:00Z.");
  EXPECT_EQ(window_veto({true, std::nullopt, std::nullopt}, 5, false, 0),
            "No maintenance window is open; none opens any more.");
  const WindowState open{true, 10'000'000, saturday};
  EXPECT_EQ(window_veto(open, 5'000'000, true, 5'000'000), "");
  EXPECT_EQ(window_veto(open, 5'000'001, false, 5'000'000), "");
  EXPECT_EQ(window_veto(open, 5'000'001, true, 5'000'000),
            "The maintenance window closes at 1970-01-01T00:00:10Z, and an update takes 5 s; the "
            "next one opens at 2026-12-05T01:00:00Z.");
}

TEST(Window, FreezesOnlyWhereOneIsKnownToBeOpenLongEnough) {
  EXPECT_EQ(freeze_veto(WindowState{}, "", 5, true, UINT64_MAX), "");
  EXPECT_EQ(freeze_veto(std::nullopt, "no systemd-analyze", 5, false, 0),
            "The maintenance windows cannot be told: no systemd-analyze.");
  EXPECT_NE(freeze_veto(std::nullopt, "", 5, false, 0), "");
  const WindowState open{true, 10'000'000, std::nullopt};
  EXPECT_EQ(freeze_veto(open, "", 9'999'999, false, 5'000'000), "");
  EXPECT_EQ(freeze_veto(open, "", 10'000'000, false, 0), "The maintenance window has closed.");
  EXPECT_EQ(freeze_veto(open, "", 5'000'000, true, 5'000'000), "");
  EXPECT_EQ(freeze_veto(open, "", 5'000'001, true, 5'000'000),
            "The maintenance window closes at 1970-01-01T00:00:10Z, and an update takes 5 s; none "
            "opens any more.");
}

TEST(Window, TimesAreReadAsTheyAreWritten) {
  EXPECT_EQ(utc(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(parse_utc("2026-12-05T01:00:00Z"), 1'796'432'400'000'000U);
  EXPECT_EQ(utc(*parse_utc("2026-12-05T01:00:00Z")), "2026-12-05T01:00:00Z");
  for (const char* bad : {"", "2026-12-05", "2026-12-05T01:00:00+01:00", "soon"}) {
    EXPECT_FALSE(parse_utc(bad)) << bad;
  }
}

TEST(Window, ReadsWhatSystemdAnalyzeSays) {
  auto at = parse_elapses(
      "  Original form: Sat 02:00 Europe/Berlin\n"
      "Normalized form: Sat *-*-* 02:00:00 Europe/Berlin\n"
      "    Next elapse: Sat 2026-12-05 01:00:00 UTC\n"
      "       From now: 3 days left\n"
      "       Iter. #2: Sat 2026-12-12 01:00:00 UTC\n");
  ASSERT_TRUE(at) << at.error().message;
  EXPECT_EQ(*at,
            (std::vector{*parse_utc("2026-12-05T01:00:00Z"), *parse_utc("2026-12-12T01:00:00Z")}));
  at = parse_elapses(
      "  Original form: 04:00\n"
      "Normalized form: *-*-* 04:00:00\n"
      "    Next elapse: Tue 2026-12-01 04:00:00 EST\n"
      "       (in UTC): Tue 2026-12-01 09:00:00 UTC\n"
      "       From now: 3h 6min left\n"
      "       Iter. #2: Wed 2026-12-02 04:00:00 EST\n"
      "       (in UTC): Wed 2026-12-02 09:00:00 UTC\n");
  ASSERT_TRUE(at) << at.error().message;
  EXPECT_EQ(*at,
            (std::vector{*parse_utc("2026-12-01T09:00:00Z"), *parse_utc("2026-12-02T09:00:00Z")}));
  EXPECT_EQ(*parse_elapses("    Next elapse: Tue 2026-12-01 04:00:00 GMT\n"),
            std::vector{*parse_utc("2026-12-01T04:00:00Z")});
  EXPECT_TRUE(parse_elapses("    Next elapse: never\n")->empty());
  EXPECT_FALSE(parse_elapses("    Next elapse: bald\n"));
}

/// The real one.
TEST(Window, AsksSystemdAnalyze) {
  const std::atomic<bool> never = false;
  const auto now = *parse_utc("2026-12-05T02:30:00Z");
  Windows windows;
  windows.list = {{"Sat 02:00 Europe/Berlin", 7'200'000'000}};
  auto open = look_at(windows, now, never);
  ASSERT_TRUE(open) << open.error().message;
  EXPECT_EQ(utc(open->closes.value_or(0)), "2026-12-05T03:00:00Z");
  EXPECT_EQ(utc(open->opens.value_or(0)), "2026-12-12T01:00:00Z");
  windows.list = {{"2001-01-01", 60'000'000}};
  auto past = look_at(windows, now, never);
  ASSERT_TRUE(past) << past.error().message;
  EXPECT_EQ(*past, (WindowState{true, std::nullopt, std::nullopt}));
  auto wrong = check_calendar({"Sat 25:00", 1}, never);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("Failed to parse calendar"), std::string::npos)
      << wrong.error().message;
  EXPECT_EQ(wrong.error().code, EINVAL);
  // That it could not be asked says nothing of the expression.
  const std::atomic<bool> at_once = true;
  auto given_up = check_calendar({"Sat 02:00", 1}, at_once);
  ASSERT_FALSE(given_up);
  EXPECT_EQ(given_up.error().code, EIO);
}

TEST(Window, ThatElapsesOftenWithinItsLength) {
  const std::atomic<bool> never = false;
  const auto state = [&](const char* calendar, std::uint64_t length_usec, const char* now) {
    Windows windows;
    windows.list = {{calendar, length_usec}};
    auto looked = look_at(windows, *parse_utc(now), never);
    EXPECT_TRUE(looked) << looked.error().message;
    return looked ? *looked : WindowState{};
  };
  // Each minute of an hour, and an hour longer.
  EXPECT_EQ(
      state("Sat 02:* UTC", 3'600'000'000, "2026-12-05T02:59:30Z"),
      (WindowState{true, *parse_utc("2026-12-05T03:59:00Z"), *parse_utc("2026-12-12T02:00:00Z")}));
  // Each minute of a day, and a day longer.
  EXPECT_EQ(
      state("Sat *:* UTC", 86'400'000'000, "2026-12-05T23:59:30Z"),
      (WindowState{true, *parse_utc("2026-12-06T23:59:00Z"), *parse_utc("2026-12-12T00:00:00Z")}));
  // It never closes.
  const auto always = state("*:0/5 UTC", 14'400'000'000, "2026-12-05T12:00:00Z");
  EXPECT_GT(always.closes.value_or(0), *parse_utc("2026-12-06T12:00:00Z"));
}

/// A host in that time zone.
class InZone {
 public:
  explicit InZone(const char* zone) {
    if (const char* before = getenv("TZ")) before_ = before;
    setenv("TZ", zone, 1);
  }
  InZone(const InZone&) = delete;
  InZone& operator=(const InZone&) = delete;
  ~InZone() {
    if (before_) {
      setenv("TZ", before_->c_str(), 1);
    } else {
      unsetenv("TZ");
    }
  }

 private:
  std::optional<std::string> before_;
};

TEST(Window, IsInTheHostsTimeZoneUnlessItNamesOne) {
  const std::atomic<bool> never = false;
  const auto now = *parse_utc("2026-12-01T09:30:00Z");
  const auto closes = [&](const char* calendar) {
    Windows windows;
    windows.list = {{calendar, 3'600'000'000}};
    auto state = look_at(windows, now, never);
    EXPECT_TRUE(state) << state.error().message;
    return state && state->closes ? utc(*state->closes) : "closed";
  };
  for (const char* zone : {"America/New_York", "Africa/Abidjan", "UTC"}) {
    const InZone host(zone);
    const bool behind = std::string_view(zone) == "America/New_York";
    EXPECT_EQ(closes("04:00"), behind ? "2026-12-01T10:00:00Z" : "closed") << zone;
    EXPECT_EQ(closes("09:00"), behind ? "closed" : "2026-12-01T10:00:00Z") << zone;
    EXPECT_EQ(closes("09:00 UTC"), "2026-12-01T10:00:00Z") << zone;
    EXPECT_EQ(closes("10:00 Europe/Berlin"), "2026-12-01T10:00:00Z") << zone;
  }
}

TEST(Window, AnUpdateTakesAsLongAsTheNewestThatWasDone) {
  EXPECT_EQ(duration_of_last(R"([
    {"outcome": "failed", "phases": [{"name": "freeze", "usec": 1}]},
    {"outcome": "done", "phases": [{"name": "load", "usec": 20}, {"name": "wait", "usec": 999},
                                   {"name": "kexec", "usec": 300}]},
    {"outcome": "done", "phases": [{"name": "load", "usec": 7}]}])"),
            320U);
  for (const char* none : {"", "[]", "{}", R"([{"outcome": "done"}])", "[3]"}) {
    EXPECT_FALSE(duration_of_last(none)) << none;
  }
}

TEST(Text, Base64) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
  for (const auto& [plain, coded] : cases) {
    EXPECT_EQ(to_base64(plain), coded);
    EXPECT_EQ(from_base64(coded), plain);
  }
  const std::string bytes("\x00\xff\x10\x80", 4);
  EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
  for (const char* bad : {"Z", "Zg=", "Z===", "Zg==Zg==", "Z!==", "=Zg="}) {
    EXPECT_FALSE(from_base64(bad)) << bad;
  }
}

TEST(Text, OfOthersIsOneLine) {
  EXPECT_EQ(one_line("  a\n\tb\x01 c. \n"), "a b c");
  EXPECT_EQ(one_line(std::string(500, 'x')).size(), 200U);
  EXPECT_EQ(one_line("\xc3\xa4"), "??");
}

}  // namespace
}  // namespace handover::fleet

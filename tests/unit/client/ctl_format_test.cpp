// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "ctl/format.h"
#include "ctl/progress.h"

namespace handover::ctl {
namespace {

TEST(Format, Durations) {
  EXPECT_EQ(format_duration(0), "0 µs");
  EXPECT_EQ(format_duration(999), "999 µs");
  EXPECT_EQ(format_duration(1000), "1.0 ms");
  EXPECT_EQ(format_duration(12'345), "12.3 ms");
  EXPECT_EQ(format_duration(999'949), "999.9 ms");
  EXPECT_EQ(format_duration(999'950), "1.000 s");
  EXPECT_EQ(format_duration(1'432'100), "1.432 s");
  EXPECT_EQ(format_duration(59'999'499), "59.999 s");
  EXPECT_EQ(format_duration(59'999'500), "1 min 0 s");
  EXPECT_EQ(format_duration(125'400'000), "2 min 5 s");
}

TEST(Format, Bytes) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(UINT64_C(256) << 20), "256.0 MiB");
  EXPECT_EQ(format_bytes((UINT64_C(1) << 30) - 1), "1.0 GiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16.0 EiB");
}

TEST(Format, Bars) {
  EXPECT_EQ(format_bar(0, 100, 10), "");
  EXPECT_EQ(format_bar(5, 0, 10), "");
  EXPECT_EQ(format_bar(100, 100, 3), "███");
  EXPECT_EQ(format_bar(50, 100, 3), "█▌");
  EXPECT_EQ(format_bar(1, 1'000'000, 10), "▏");
  EXPECT_EQ(format_bar(200, 100, 2), "██");
}

TEST(Format, TextIsCutByCharacters) {
  EXPECT_EQ(text_width("größe"), 5U);
  EXPECT_EQ(fit_text("größe", 5), "größe");
  EXPECT_EQ(fit_text("größe", 4), "grö…");
  EXPECT_EQ(fit_text("abc", 1), "…");
  EXPECT_EQ(fit_text("abc", 0), "");
  EXPECT_EQ(fit_text("", 3), "");
  EXPECT_EQ(fit_text("a\033[31mb\n", 20), "a?[31mb?");
}

TEST(Format, WidthIsThatOfATerminal) {
  EXPECT_EQ(text_width("日本語"), 6U);
  EXPECT_EQ(text_width("e\u0301"), 1U);  // with a combining accent
  EXPECT_EQ(fit_text("日本語", 6), "日本語");
  EXPECT_EQ(fit_text("日本語", 5), "日本…");
  EXPECT_EQ(fit_text("日本語", 4), "日…");
  EXPECT_EQ(fit_text("a\u009b31m", 10), "a?31m");
  EXPECT_EQ(text_width("\xff\xfe"), 2U);
  EXPECT_EQ(wrap_text("日本 語", 5), (std::vector<std::string>{"日本", "語"}));
}

/// What shows nothing, and makes the rest read otherwise than it is.
TEST(Format, InvisibleCharactersAreShown) {
  for (const char* invisible :
       {"\u061c", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e",    "\u200f", "\u2028",
        "\u2029", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e",    "\u2060", "\u2066",
        "\u2067", "\u2068", "\u2069", "\ufeff", "\ufff9", "\U000e0041"}) {
    EXPECT_EQ(one_line(std::string("a") + invisible + "b"), "a?b");
    EXPECT_EQ(text_width(std::string("a") + invisible + "b"), 3U);
  }
  EXPECT_EQ(one_line("\u0627\u0644 \u05d0 e\u0301 \U0001f600"),
            "\u0627\u0644 \u05d0 e\u0301 \U0001f600");
}

/// A sentence that clears the screen, has colours and a title in C1 controls, and turns round.
TEST(Format, HostileSentenceIsOneTameLine) {
  EXPECT_EQ(one_line("no: \033[2J\033[31mFAKE: update done\033[0m \u009b31m8-bit CSI "
                     "\u009d0;title\u009c \u202ertl\nsecond line\r\toverwritten"),
            "no: ?[2J?[31mFAKE: update done?[0m ?31m8-bit CSI ?0;title? ?rtl?second "
            "line??overwritten");
}

TEST(Format, ProgressFitsItsLine) {
  const auto line = Progress::bar_line("collapse", 45, std::string(100, 'x'), 79);
  EXPECT_EQ(text_width(line), 79U);
  EXPECT_NE(line.find(" 45%  collapse: x"), std::string::npos) << line;
  EXPECT_NE(Progress::bar_line("", 1000, "", 79).find("100%"), std::string::npos);
}

TEST(Format, ProgressNamesWhomItWaitsFor) {
  EXPECT_EQ(Progress::waiting_for({}), "");
  EXPECT_EQ(Progress::waiting_for({"a"}), " Waiting for 'a'.");
  EXPECT_EQ(Progress::waiting_for({"a", "b"}), " Waiting for 'a' and 'b'.");
  EXPECT_EQ(Progress::waiting_for({"a", "b", "c"}), " Waiting for 'a' and 2 others.");
}

TEST(Format, WrapsText) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(wrap_text("", 5), Lines{""});
  EXPECT_EQ(wrap_text("ab cd", 5), Lines{"ab cd"});
  EXPECT_EQ(wrap_text("ab cde", 5), (Lines{"ab", "cde"}));
  EXPECT_EQ(wrap_text("abcde fg", 5), (Lines{"abcde", "fg"}));
  EXPECT_EQ(wrap_text("äöü äöü", 5), (Lines{"äöü", "äöü"}));
  EXPECT_EQ(wrap_text("abcdefg h", 5), (Lines{"abcde", "fg h"}));
}

}  // namespace
}  // namespace handover::ctl

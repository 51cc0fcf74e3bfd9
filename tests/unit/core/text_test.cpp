// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/text.h"

#include <gtest/gtest.h>

#include <string>

#include "support/utf8.h"

namespace handover {
namespace {

TEST(Text, AcceptsWellFormedUtf8) {
  EXPECT_TRUE(test::is_utf8(""));
  EXPECT_TRUE(test::is_utf8("plain"));
  EXPECT_TRUE(test::is_utf8("Grüße, 世界, 🚀"));
  EXPECT_TRUE(test::is_utf8("\xF4\x8F\xBF\xBF"));  // U+10FFFF
  EXPECT_TRUE(test::is_utf8(std::string_view("\0", 1)));
}

TEST(Text, RefusesWhatIsNotUtf8) {
  EXPECT_FALSE(test::is_utf8("\x80"));              // a continuation alone
  EXPECT_FALSE(test::is_utf8("\xC3"));              // cut
  EXPECT_FALSE(test::is_utf8("\xE2\x82"));          // cut
  EXPECT_FALSE(test::is_utf8("\xC0\xAF"));          // overlong '/'
  EXPECT_FALSE(test::is_utf8("\xE0\x80\xAF"));      // overlong '/'
  EXPECT_FALSE(test::is_utf8("\xF0\x80\x80\xAF"));  // overlong '/'
  EXPECT_FALSE(test::is_utf8("\xED\xA0\x80"));      // a surrogate
  EXPECT_FALSE(test::is_utf8("\xF4\x90\x80\x80"));  // above U+10FFFF
  EXPECT_FALSE(test::is_utf8("\xFF"));
}

// Against the definition: decode by hand and compare, for every sequence of up to three bytes whose
// first byte is a lead.
TEST(Text, AgreesWithTheDefinitionOnShortSequences) {
  const auto expected = [](const std::string& s) -> std::size_t {
    const auto at = [&s](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const auto continues = [&](std::size_t i) { return i < s.size() && (at(i) & 0xC0U) == 0x80U; };
    if (at(0) < 0x80) return 1;
    if ((at(0) & 0xE0U) == 0xC0U) {
      if (!continues(1)) return 0;
      const unsigned point = (at(0) & 0x1FU) << 6U | (at(1) & 0x3FU);
      return point >= 0x80 ? 2 : 0;
    }
    if ((at(0) & 0xF0U) == 0xE0U) {
      if (!continues(1) || !continues(2)) return 0;
      const unsigned point = (at(0) & 0x0FU) << 12U | (at(1) & 0x3FU) << 6U | (at(2) & 0x3FU);
      return point >= 0x800 && (point < 0xD800 || point > 0xDFFF) ? 3 : 0;
    }
    return 0;
  };
  std::size_t checked = 0;
  for (unsigned first = 0; first < 0xF0; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      for (const unsigned third : {0x00U, 0x7FU, 0x80U, 0xBFU, 0xC0U, 0xFFU}) {
        const std::string s = {static_cast<char>(first), static_cast<char>(second),
                               static_cast<char>(third)};
        ASSERT_EQ(utf8_sequence_length(s), expected(s)) << first << " " << second << " " << third;
        ++checked;
      }
    }
  }
  EXPECT_EQ(checked, 0xF0U * 256U * 6U);
}

TEST(Text, FindsControlCharacters) {
  EXPECT_TRUE(starts_with_control("\n"));
  EXPECT_TRUE(starts_with_control("\x7F"));
  EXPECT_TRUE(starts_with_control("\xC2\x85"));  // U+0085, next line
  EXPECT_FALSE(starts_with_control("\xC2\xA0"));
  EXPECT_FALSE(starts_with_control("a\n"));
  EXPECT_FALSE(starts_with_control(""));
}

TEST(Text, PrintableIsAlwaysOneUtf8LineAndBounded) {
  EXPECT_EQ(printable("ä b"), "ä b");
  EXPECT_EQ(printable("a\u202eb\u2066\u200b\ufeff\u061c"),
            "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6\\xe2\\x80\\x8b\\xef\\xbb\\xbf\\xd8\\x9c");
  EXPECT_EQ(printable("\u2010 \u202f \u2070 \u061b \ufefe €"),
            "\u2010 \u202f \u2070 \u061b \ufefe €");
  EXPECT_EQ(printable("a\nb\x80\xC2\x85"), "a\\x0ab\\x80\\xc2\\x85");
  std::string every_byte;
  for (int value = 0; value < 256; ++value) every_byte += static_cast<char>(value);
  const std::string shown = printable(every_byte, 4096);
  EXPECT_TRUE(test::is_utf8(shown));
  EXPECT_EQ(shown.find('\n'), std::string::npos);

  const std::string cut = printable(std::string(1000, 'x'), 10);
  EXPECT_EQ(cut, "xxxxxxxxxx…");
  EXPECT_EQ(in_quotes("it"), "'it'");
}

TEST(FewOf, CountsThoseThatItDoesNotName) {
  EXPECT_EQ(few_of({}, 2), "");
  EXPECT_EQ(few_of({"a"}, 2), "a");
  EXPECT_EQ(few_of({"a", "b"}, 2), "a, b");
  EXPECT_EQ(few_of({"a", "b", "c"}, 2), "a, b and 1 more");
  EXPECT_EQ(few_of({"a", "b", "c", "d", "e", "f", "g"}), "a, b, c, d, e and 2 more");
}

}  // namespace
}  // namespace handover

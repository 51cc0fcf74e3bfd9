// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/json_lines.h"

#include <gtest/gtest.h>

namespace handover {
namespace {

constexpr std::string_view text = R"({
  "a": 1, "b": {
    "c": "x\"}{,",
    "d/e~": [ {"f": 1},
      {
        "f": {}
      } ]
  },

  "\u00e4": null
})";

TEST(JsonLines, KnowsTheLineOfEachKey) {
  const JsonLines lines(text);
  EXPECT_EQ(lines.line_of("/a"), 2U);
  EXPECT_EQ(lines.line_of("/b"), 2U);
  EXPECT_EQ(lines.line_of("/b/c"), 3U);
  EXPECT_EQ(lines.line_of("/b/d~1e~0"), 4U);
  EXPECT_EQ(lines.line_of("/b/d~1e~0/0/f"), 4U);
  EXPECT_EQ(lines.line_of("/b/d~1e~0/1/f"), 6U);
  EXPECT_EQ(lines.line_of("/ä"), 10U);
  EXPECT_EQ(lines.repeated(), std::nullopt);
}

TEST(JsonLines, OfWhatIsNoKeyGivesTheNextOneAbove) {
  const JsonLines lines(text);
  EXPECT_EQ(lines.line_of("/b/d~1e~0/1"), 4U);
  EXPECT_EQ(lines.line_of("/b/missing"), 2U);
  EXPECT_EQ(lines.line_of("/missing"), std::nullopt);
  EXPECT_EQ(lines.line_of(""), std::nullopt);
}

TEST(JsonLines, FindsAKeyThatIsThereTwiceInOneObject) {
  EXPECT_EQ(JsonLines(R"({"a": 1, "a": 2})").repeated(), "/a");
  EXPECT_EQ(JsonLines(R"({"a": 1, "\u0061": 2})").repeated(), "/a");
  EXPECT_EQ(JsonLines(R"({"a": {"b": 1, "c": 2, "b": 3}})").repeated(), "/a/b");
  EXPECT_EQ(JsonLines(R"([{"a": 1}, {"a": 1}])").repeated(), std::nullopt);
  EXPECT_EQ(JsonLines(R"({"a": {"b": 1}, "c": {"b": 1}})").repeated(), std::nullopt);
  EXPECT_EQ(JsonLines(R"({"a": "a", "b": ["a", "a"]})").repeated(), std::nullopt);
}

TEST(JsonLines, TakesAnyText) {
  for (const std::string_view bad : {"", "]", "}}}", "\"", "{\"", "{\"a\\", ",,,", "{,\"a\":[,"}) {
    EXPECT_EQ(JsonLines(bad).repeated(), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace handover

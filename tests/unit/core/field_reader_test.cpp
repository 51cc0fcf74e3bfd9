// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/field_reader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/utf8.h"

namespace handover {
namespace {

using nlohmann::json;

TEST(ParseJson, SaysWhereItBreaks) {
  const auto cut = parse_json("{\n  \"a\": 1,\n  \"b\" 2\n}", ErrorCode::invalid_argument);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(cut.error().message.starts_with("line 3, column ")) << cut.error().message;
  EXPECT_EQ(cut.error().message.find("json.exception"), std::string::npos);
}

TEST(ParseJson, ThrowsAtNothing) {
  for (const std::string_view bad :
       {std::string_view(""), std::string_view("1e999"), std::string_view("\"\xFF\""),
        std::string_view("{\"a\":\"\\ud800\"}"), std::string_view("\0", 1), std::string_view("nul"),
        std::string_view("[1,]"), std::string_view("{} {}")}) {
    const auto parsed = parse_json(bad, ErrorCode::manifest_invalid);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::manifest_invalid);
    EXPECT_TRUE(test::is_utf8(parsed.error().message));
    EXPECT_FALSE(parsed.error().message.empty());
  }
}

TEST(ParseJson, BoundsTheNesting) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(parse_json(nested(64), ErrorCode::invalid_argument));
  EXPECT_FALSE(parse_json(nested(65), ErrorCode::invalid_argument));
  EXPECT_FALSE(parse_json(nested(1'000'000), ErrorCode::invalid_argument));
  // Brackets in strings do not count, and a quote that is escaped ends none.
  EXPECT_TRUE(parse_json("\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"",
                         ErrorCode::invalid_argument));
}

TEST(FieldReader, TakesTypedFieldsAndKeepsTheRest) {
  FieldReader reader(json{{"s", "text"},
                          {"b", true},
                          {"small", 7},
                          {"big", UINT64_MAX},
                          {"maybe", 9},
                          {"list", {"x", "y"}},
                          {"other", {{"kept", 1}}}},
                     "");
  std::string s;
  bool b = false;
  std::uint32_t small = 0;
  std::uint64_t big = 0;
  std::uint64_t absent = 42;
  std::optional<std::uint64_t> maybe;
  std::optional<std::uint64_t> no;
  std::vector<std::string> list;
  reader.required("s", s);
  reader.required("b", b);
  reader.required("small", small);
  reader.required("big", big);
  reader.optional("absent", absent);
  reader.optional("maybe", maybe);
  reader.optional("no", no);
  reader.required("list", list);
  EXPECT_FALSE(reader.error());
  EXPECT_EQ(s, "text");
  EXPECT_TRUE(b);
  EXPECT_EQ(small, 7U);
  EXPECT_EQ(big, UINT64_MAX);
  EXPECT_EQ(absent, 42U);
  EXPECT_EQ(maybe, 9U);
  EXPECT_EQ(no, std::nullopt);
  EXPECT_EQ(list, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(reader.rest(), (json{{"other", {{"kept", 1}}}}));
  EXPECT_NE(std::find(reader.known().begin(), reader.known().end(), "absent"),
            reader.known().end());
}

template <typename T>
void expect_refused(const json& value, T before, const std::string& pointer = "/top/x") {
  FieldReader reader(json{{"x", value}}, "/top");
  T out = before;
  reader.required("x", out);
  ASSERT_TRUE(reader.error()) << value;
  EXPECT_EQ(reader.error()->pointer, pointer);
  EXPECT_EQ(out, before) << value;
}

TEST(FieldReader, RefusesEveryOtherTypeAndLeavesTheValue) {
  for (const json& value : {json(nullptr), json(1), json(true), json::array(), json::object()}) {
    expect_refused<std::string>(value, "before");
  }
  for (const json& value : {json(nullptr), json(1), json("true"), json::array()}) {
    expect_refused<bool>(value, true);
  }
  for (const json& value :
       {json(nullptr), json(-1), json(1.0), json(1e30), json("1"), json(true)}) {
    expect_refused<std::uint64_t>(value, 5);
    expect_refused<std::uint32_t>(value, 5);
    expect_refused<std::optional<std::uint64_t>>(value, std::nullopt);
  }
  expect_refused<std::uint32_t>(json(UINT64_C(1) << 32), 5);
  expect_refused<std::vector<json>>(json("x"), {});
  expect_refused<std::vector<std::string>>(json::object(), {});
  expect_refused<std::vector<std::string>>(json{1}, {}, "/top/x/0");
}

TEST(FieldReader, KeepsTheFirstErrorOnly) {
  FieldReader reader(json{{"a", 1}, {"b", 2}}, "");
  std::string text;
  reader.required("missing", text);
  reader.required("a", text);
  ASSERT_TRUE(reader.error());
  EXPECT_EQ(reader.error()->pointer, "/missing");
  EXPECT_EQ(reader.error()->message, "is missing");
}

TEST(FieldReader, RefusesWhatIsNoObject) {
  for (const json& value : {json(nullptr), json(1), json::array(), json("x")}) {
    FieldReader reader(value, "/here");
    ASSERT_TRUE(reader.error());
    EXPECT_EQ(reader.error()->pointer, "/here");
    EXPECT_TRUE(reader.rest().is_object());
  }
}

TEST(Pointers, AreEscaped) {
  EXPECT_EQ(child_pointer("", "a"), "/a");
  EXPECT_EQ(child_pointer("/x", "a/b~c"), "/x/a~1b~0c");
  EXPECT_EQ(child_pointer("/x", std::size_t{3}), "/x/3");
}

}  // namespace
}  // namespace handover

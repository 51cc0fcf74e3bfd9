// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "common/fields.h"

namespace handover::common {
namespace {

/// The line of the refusal; "" if there was none.
std::string refusal(const std::string& text) {
  auto fields = Fields::parse(text, "c.json");
  if (!fields) return fields.error().message;
  auto done = fields->finish();
  return done ? "" : done.error().message;
}

TEST(CommonFields, TakesEveryKind) {
  auto fields = Fields::parse(R"({
    "text": "x", "yes": true, "texts": ["a", ""], "address": "0x1000", "number": 4096,
    "size": "64M", "bytes": 12, "count": 3, "seconds": 0.25,  // and a comment
    "object": {"text": "inside"}, "objects": [{"yes": true}, {}]
  })",
                              "c.json");
  ASSERT_TRUE(fields) << fields.error().message;
  std::string text;
  bool yes = false;
  std::vector<std::string> texts;
  std::uint64_t address = 0, number = 0, size = 0, bytes = 0, count = 0, usec = 0;
  EXPECT_TRUE(fields->take("text", text, true));
  EXPECT_TRUE(fields->take("yes", yes));
  EXPECT_TRUE(fields->take("texts", texts));
  EXPECT_TRUE(fields->take_address("address", address));
  EXPECT_TRUE(fields->take_address("number", number));
  EXPECT_TRUE(fields->take_size("size", size));
  EXPECT_TRUE(fields->take_size("bytes", bytes));
  EXPECT_TRUE(fields->take_count("count", count, 1, 3));
  EXPECT_TRUE(fields->take_seconds("seconds", usec));
  EXPECT_FALSE(fields->take("absent", text));
  EXPECT_EQ(text, "x");
  EXPECT_TRUE(yes);
  EXPECT_EQ(texts, (std::vector<std::string>{"a", ""}));
  EXPECT_EQ(address, 0x1000U);
  EXPECT_EQ(number, 4096U);
  EXPECT_EQ(size, 64U << 20);
  EXPECT_EQ(bytes, 12U);
  EXPECT_EQ(count, 3U);
  EXPECT_EQ(usec, 250'000U);
  auto object = fields->take_object("object");
  ASSERT_TRUE(object);
  EXPECT_TRUE(object->take("text", text));
  EXPECT_EQ(text, "inside");
  EXPECT_TRUE(object->finish());
  auto objects = fields->take_objects("objects");
  ASSERT_EQ(objects.size(), 2U);
  auto nobody_took_it = objects[0].finish();
  ASSERT_FALSE(nobody_took_it);
  EXPECT_EQ(nobody_took_it.error().message.substr(0, 22), "c.json: /objects/0/yes");
  EXPECT_TRUE(objects[1].finish());
  EXPECT_TRUE(fields->finish());
}

TEST(CommonFields, NoJsonIsRefusedByItsLine) {
  EXPECT_EQ(refusal("{\n\"a\": 1,\n oops}").substr(0, 26), "c.json:3: no valid JSON: s");
  EXPECT_EQ(refusal("").substr(0, 9), "c.json:1:");
  EXPECT_EQ(refusal("{\"a\": \"\xff\"}").substr(0, 9), "c.json:1:");
  EXPECT_EQ(refusal(R"({"a": 1e999})").substr(0, 25), "c.json: no valid JSON: nu");
  EXPECT_EQ(refusal("[]").substr(0, 28), "c.json: the document must be");
}

TEST(CommonFields, DeepNestingIsRefused) {
  EXPECT_NE(refusal(std::string(100000, '[')), "");
  EXPECT_EQ(refusal("{\"a\": " + std::string(100, '[') + std::string(100, ']') + "}"),
            "c.json: nested deeper than 64 levels");
}

TEST(CommonFields, TheFirstMistakeIsKept) {
  auto fields = Fields::parse(R"({"a": 1, "b": 2, "c": 0, "d": 90000})", "c.json");
  ASSERT_TRUE(fields);
  std::string text;
  std::uint64_t usec = 7;
  EXPECT_FALSE(fields->take("a", text));
  EXPECT_FALSE(fields->take("missing", text, true));
  EXPECT_FALSE(fields->take_seconds("c", usec));
  EXPECT_FALSE(fields->take_seconds("d", usec));
  EXPECT_EQ(usec, 7U);
  auto done = fields->finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "c.json: /a must be a string that is not empty");
}

}  // namespace
}  // namespace handover::common

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/field_writer.h"

#include <gtest/gtest.h>

#include "core/fields.h"
#include "records.h"
#include "support/utf8.h"

namespace handover {

// One record with every kind of field.
enum class Colour { red, green };
constexpr auto words(Colour) {
  return std::to_array<Word<Colour>>({{Colour::red, "red"}, {Colour::green, "green"}});
}

struct Inner {
  std::string name;
  nlohmann::json extra;
  bool operator==(const Inner&) const = default;
};
template <typename Io, Of<Inner> Record>
void fields(Io& io, Record& inner) {
  io.name("name", inner.name);
  io.rest(inner.extra);
}

struct Everything {
  std::string text = "";
  bool flag = false;
  std::uint32_t small = 0;
  std::uint64_t big = 0;
  std::vector<std::string> texts;
  Colour colour = Colour::red;
  Inner inner{"a", {}};
  std::string client;
  Colour newer = Colour::green;
  std::optional<std::uint64_t> maybe;
  std::optional<Colour> maybe_colour;
  bool rare = false;
  std::optional<Inner> or_null;
  std::vector<Inner> list;
  std::map<Colour, std::uint64_t> by_word;
  std::map<std::string, Inner> by_name;
  nlohmann::json extra;
  bool operator==(const Everything&) const = default;
};
template <typename Io, Of<Everything> Record>
void fields(Io& io, Record& all) {
  io.required("text", all.text);
  io.required("flag", all.flag);
  io.required("small", all.small);
  io.required("big", all.big);
  io.required("texts", all.texts);
  io.required("colour", all.colour);
  io.required("inner", all.inner);
  io.name_or_empty("client", all.client);
  io.word("newer", all.newer, Colour::green, all.extra);
  io.optional("maybe", all.maybe);
  io.optional("maybe_colour", all.maybe_colour);
  io.optional("rare", all.rare);
  io.record_or_null("or_null", all.or_null);
  io.list("list", all.list, [](const Inner& inner) { return inner.name; });
  io.by_word("by_word", all.by_word, all.extra);
  io.by_name("by_name", all.by_name, [](auto& more, auto& inner) {
    more.computed("length", [&] { return std::optional<std::uint64_t>(inner.name.size()); });
  });
  io.computed("colours", [&] { return std::optional<std::uint64_t>(all.by_word.size()); });
  io.rest(all.extra);
}

namespace {

using nlohmann::json;
using test::json_of;
using test::record_of;

Everything filled() {
  Everything all;
  all.text = "Grüße \"\\\n";
  all.flag = true;
  all.small = UINT32_MAX;
  all.big = UINT64_MAX;
  all.texts = {"", "x"};
  all.colour = Colour::green;
  all.inner = {"b", {{"new", 1}}};
  all.client = "db";
  all.maybe = 0;
  all.maybe_colour = Colour::red;
  all.rare = true;
  all.or_null = Inner{"c", {}};
  all.list = {{"d", {}}, {"e", {{"new", {1, 2}}}}};
  all.by_word = {{Colour::red, 5}};
  all.by_name = {{"weird \" key", Inner{"f", {}}}, {"", Inner{"g", {}}}};
  all.extra = {{"by_word", {{"blue", 7}}}, {"other", "kept"}, {"", "nameless"}};
  return all;
}

TEST(Fields, WriteWhatTheyRead) {
  for (const Everything& all : {Everything{}, filled()}) {
    const auto back = record_of<Everything>(json_of(all));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, all);
  }
}

TEST(Fields, AreWrittenInOneLineAndInTheirOrder) {
  std::string text = "before ";
  append_json(text, Everything{});
  EXPECT_EQ(text, R"(before {"text":"","flag":false,"small":0,"big":0,"texts":[],"colour":"red",)"
                  R"("inner":{"name":"a"},"client":"","newer":"green","or_null":null,"list":[],)"
                  R"("by_word":{},"by_name":{}})");
  const json filled_in = json_of(filled());
  EXPECT_EQ(filled_in["by_word"], (json{{"red", 5}, {"blue", 7}}));
  EXPECT_EQ(filled_in["other"], "kept");
  EXPECT_EQ(filled_in[""], "nameless");
  EXPECT_EQ(filled_in["maybe"], 0) << "what is there is written, though it is 0";
}

TEST(Fields, ComputedOnesAreWrittenForThoseWhoAsk) {
  EXPECT_FALSE(json_of(filled()).contains("colours"));
  const json with = json_of(filled(), Computed::yes);
  EXPECT_EQ(with["colours"], 1);
  EXPECT_EQ(with["by_name"][""]["length"], 1);
  EXPECT_EQ(*record_of<Everything>(with), filled()) << "and are not read";
}

TEST(Fields, AWordOfANewerVersionIsReadAsAnotherAndWrittenAgain) {
  json newer = json_of(filled());
  newer["newer"] = "ultraviolet";
  const auto read = record_of<Everything>(newer);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->newer, Colour::green);
  EXPECT_EQ(json_of(*read), newer);
}

TEST(Fields, OfInnerRecordsAreNamedWithTheirPlace) {
  const auto expect = [](const char* pointer, const json& value, const std::string& message) {
    json wrong = json_of(filled());
    wrong[json::json_pointer(pointer)] = value;
    const auto refused = record_of<Everything>(wrong);
    ASSERT_FALSE(refused) << pointer;
    EXPECT_EQ(refused.error().message, message);
  };
  expect("/inner/name", 1, "/inner/name must be a string, not number");
  expect("/inner", 1, "/inner must be an object, not number");
  expect("/or_null/name", "",
         "/or_null/name is no name: a name may not be empty; give 1 to 63 "
         "bytes of UTF-8");
  expect("/list/1/name", true, "/list/1/name must be a string, not boolean");
  expect("/list/1", nullptr, "/list/1 must be an object, not null");
  expect("/list/1/name", "d", "/list/1 is there twice");
  expect("/by_word/red", -1,
         "/by_word/red must be a whole number of at least 0 and at most 64 bits");
  expect("/by_word", 3, "/by_word must be an object, not number");
  expect("/by_name", json::array(), "/by_name must be an object, not array");
  expect("/by_name/weird \" key/name", 3,
         "/by_name/weird \" key/name must be a string, not number");
  expect("/maybe_colour", "blue", "/maybe_colour is unknown: 'blue'");
  expect("/newer", 1, "/newer must be a string, not number");
}

TEST(JsonString, IsReadBackWhateverItHas) {
  for (unsigned byte = 1; byte < 128; ++byte) {
    const std::string text = {'a', static_cast<char>(byte), 'z'};
    std::string out;
    append_json_string(out, text);
    EXPECT_EQ(json::parse(out), text) << byte;
  }
  const std::string nul("\0", 1);
  std::string out;
  append_json_string(out, nul);
  EXPECT_EQ(json::parse(out), nul);
  for (const auto* text : {"", "Grüße", "\u20ac", "\U0001F600", "/"}) {
    out.clear();
    append_json_string(out, text);
    EXPECT_EQ(json::parse(out), text);
  }
}

TEST(JsonString, HasAReplacementForWhatIsNotUtf8) {
  for (const std::string& text :
       {std::string("\xff"), std::string("a\xc3"), std::string("\xc3\x28"),
        std::string("\xed\xa0\x80"), std::string("\x80\xbf")}) {
    std::string out;
    append_json_string(out, text);
    EXPECT_TRUE(test::is_utf8(out)) << out;
    EXPECT_NE(json::parse(out).get<std::string>().find("\xEF\xBF\xBD"), std::string::npos);
    EXPECT_TRUE(test::is_utf8(dump_json(json{{"x", text}})));
  }
}

}  // namespace
}  // namespace handover

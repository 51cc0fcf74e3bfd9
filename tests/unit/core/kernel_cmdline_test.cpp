// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/kernel_cmdline.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

namespace handover {
namespace {

using namespace std::string_literals;

/// "name", "name=value", "!=value" without a name, and "--" before what is init's.
std::string plain(const std::string& text) {
  const auto line = parse_cmdline(text);
  std::string out;
  const auto show = [&out](const std::vector<CmdlineWord>& words) {
    for (const auto& word : words) {
      out += "[" + word.name + (word.value ? "|" + *word.value : "") + "]";
    }
  };
  show(line.words);
  if (!line.init.empty()) out += " init ";
  show(line.init);
  if (line.quote_is_open) out += " open";
  return out;
}

TEST(ParseCmdline, TakesWordsApartAsNextArgDoes) {
  const std::map<std::string, std::string> cases = {
      {"", ""},
      {" \t\n\v\f\r ", ""},
      {"a b=c\td=\n", "[a][b|c][d|]"},
      {"a=b=c", "[a|b=c]"},
      {"=a", "[=a]"},
      {"=a=b", "[=a|b]"},
      {R"("a b" c)", "[a b][c]"},
      {R"("a=b c" d)", "[a|b c][d]"},
      {R"(a="b c" d)", "[a|b c][d]"},
      {R"(a=b" "c d)", R"([a|b" "c][d])"},
      {R"(a="b"c)", R"([a|b"c])"},
      {R"(a="" b)", "[a|][b]"},
      {R"(a=" b)", "[a| b] open"},
      {R"(a=")", "[a|] open"},
      {R"("a)", "[a] open"},
      {R"("")", "[]"},
      {R"(")", "[] open"},
      {R"("a"=b)", R"([a"|b])"},
      {R"("a="b)", "[a|b]"},
      {R"(a"b c"d)", R"([a"b c"d])"},
      {"a -- b --", "[a] init [--][b][--]"},
      {R"(a "--" b)", "[a] init [--][b]"},
      {R"(a "-- b)", "[a][-- b] open"},
      {"a --=x b", "[a][--|x][b]"},
      {"a --- b", "[a][---][b]"},
      {"a\0b"s, "[a]"},
      {"a \xa0 b", "[a][b]"},
      {"caf\xc3\xa0 b", "[caf\xc3][b]"},
  };
  for (const auto& [text, words] : cases) EXPECT_EQ(plain(text), words) << text;
}

TEST(Switched, IsWhatKstrtoboolMakesOfIt) {
  for (const char* on : {"1", "y", "Y", "yes", "t", "T", "true", "on", "ON", "On", "only", "1x",
                         "e", "E", "enable", "Enabled", "\"on\"", "\"y\""}) {
    EXPECT_EQ(switched("kho="s + on, "kho"), true) << on;
  }
  for (const char* off : {"0", "n", "N", "no", "f", "F", "false", "off", "OFF", "oF", "0x", "d",
                          "D", "disable", "Disabled", "\"off\""}) {
    EXPECT_EQ(switched("kho="s + off, "kho"), false) << off;
  }
  for (const char* neither : {"", "o", "ox", "2", "x", "\"\"", "-1", "ja"}) {
    EXPECT_EQ(switched("kho="s + neither, "kho"), std::nullopt) << neither;
    // It changes nothing.
    EXPECT_EQ(switched("kho=on kho="s + neither, "kho"), true) << neither;
    EXPECT_EQ(switched("kho=off kho="s + neither, "kho"), false) << neither;
  }
}

TEST(Switched, TheLastMentionCounts) {
  const std::map<std::string, std::optional<bool>> cases = {
      {"", std::nullopt},
      {"kho", std::nullopt},
      {"kho kho=on kho", true},
      {"kho=on kho=off", false},
      {"kho=off kho=on", true},
      {"kho=on\tx", true},
      {"x\nkho=on", true},
      {"\"kho=on\"", true},
      {"kho=\"on\"", true},
      {"\"kho\"=on", std::nullopt},
      {"\"kho=\"on", true},
      {"k\"ho\"=on", std::nullopt},
      {"xkho=on", std::nullopt},
      {"kho.a=on", std::nullopt},
      {"KHO=on", std::nullopt},
      {"=kho=on", std::nullopt},
      {"-- kho=on", std::nullopt},
      {"\"--\" kho=on", std::nullopt},
      {"kho=off -- kho=on", false},
      {"dyndbg=\"file foo +p kho=on", std::nullopt},
      {"dyndbg=\"file foo +p\" kho=on", true},
      {"kho=off\0 kho=on"s, false},
  };
  for (const auto& [line, state] : cases) EXPECT_EQ(switched(line, "kho"), state) << line;
  EXPECT_EQ(switched("some-name=1", "some_name"), true);
  EXPECT_EQ(switched("some_name=1", "some-name"), true);
  EXPECT_FALSE(is_on("", "kho"));
  EXPECT_TRUE(is_on("kho=1", "kho"));
}

TEST(EnsureCmdline, AppendsReplacesAndKeeps) {
  const std::map<std::string, std::string> cases = {
      {"", "kho=on liveupdate=on"},
      {"root=/dev/vda1 quiet\n", "root=/dev/vda1 quiet kho=on liveupdate=on"},
      {"kho=on liveupdate=on", "kho=on liveupdate=on"},
      {"liveupdate=1 a kho=y b", "liveupdate=1 a kho=y b"},
      {"kho=off a liveupdate=0 b", "kho=on a liveupdate=on b"},
      {"kho a liveupdate", "kho=on a liveupdate=on"},
      {"kho=on x kho=off liveupdate=on", "kho=on x kho=on liveupdate=on"},
      {"a -- init kho=off", "a kho=on liveupdate=on -- init kho=off"},
      {"-- x", "kho=on liveupdate=on -- x"},
      {R"(dyndbg="file a.c +p; kho=off" kho=off)",
       R"(dyndbg="file a.c +p; kho=off" kho=on liveupdate=on)"},
      {R"("kho=off" b)", "kho=on b liveupdate=on"},
      {"khoo=off my.kho=off kho_scratch=16M,512M,256M",
       "khoo=off my.kho=off kho_scratch=16M,512M,256M kho=on liveupdate=on"},
      {"  a\t b ", "a b kho=on liveupdate=on"},
      {R"(root=/dev/vda1 "--" single)", R"(root=/dev/vda1 kho=on liveupdate=on "--" single)"},
      {R"(a dyndbg="file foo +p)", R"(a kho=on liveupdate=on dyndbg="file foo +p)"},
      {R"(kho="on liveupdate=1)", R"(kho=on liveupdate=on kho="on liveupdate=1)"},
      {R"(a "kho=off b)", "a kho=on liveupdate=on"},
      {R"(a "kho=x b)", R"(a kho=on liveupdate=on "kho=x b)"},
      {R"(a -- "b)", R"(a kho=on liveupdate=on -- "b)"},
      {R"("kho"=on)", R"("kho"=on kho=on liveupdate=on)"},
      {"kho=ox liveupdate=2", "kho=on liveupdate=on"},
      {"caf\xc3\xa0 kho=1", "caf\xc3\xa0 kho=1 liveupdate=on"},
  };
  for (const auto& [before, after] : cases) {
    EXPECT_EQ(ensure_cmdline(before), after) << before;
    EXPECT_EQ(ensure_cmdline(after), after) << "not stable: " << after;
    EXPECT_TRUE(is_on(after, "kho")) << after;
    EXPECT_TRUE(is_on(after, "liveupdate")) << after;
  }
}

TEST(BuiltInCmdline, IsReadFromTheConfiguration) {
  EXPECT_EQ(built_in_cmdline(""), std::nullopt);
  EXPECT_EQ(built_in_cmdline("# CONFIG_CMDLINE_BOOL is not set\n"), std::nullopt);
  EXPECT_EQ(built_in_cmdline("CONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE=\"\"\n"), std::nullopt);
  EXPECT_EQ(built_in_cmdline("CONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE=\"quiet kho=on\"\n"
                             "# CONFIG_CMDLINE_OVERRIDE is not set\n"),
            (BuiltInCmdline{"quiet kho=on", false}));
  EXPECT_EQ(built_in_cmdline("CONFIG_CMDLINE_BOOL=y\n"
                             "CONFIG_CMDLINE=\"a=\\\"b c\\\" \\\\d\"\nCONFIG_CMDLINE_OVERRIDE=y"),
            (BuiltInCmdline{"a=\"b c\" \\d", true}));
  // arm64
  EXPECT_EQ(built_in_cmdline("CONFIG_CMDLINE=\"console=ttyAMA0\"\n"
                             "CONFIG_CMDLINE_FROM_BOOTLOADER=y\n"),
            std::nullopt);
  EXPECT_EQ(built_in_cmdline("CONFIG_CMDLINE=\"quiet\"\nCONFIG_CMDLINE_FORCE=y\n"),
            (BuiltInCmdline{"quiet", true}));
  EXPECT_EQ(built_in_cmdline("CONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE=quiet\n"), std::nullopt);
}

TEST(BootedCmdline, PutsWhatIsBuiltInInFront) {
  EXPECT_EQ(booted_cmdline("a b", std::nullopt), "a b");
  EXPECT_EQ(booted_cmdline("a\0b"s, std::nullopt), "a");
  EXPECT_EQ(booted_cmdline("a", BuiltInCmdline{"x y"}), "x y a");
  EXPECT_EQ(booted_cmdline("a", BuiltInCmdline{"x y", true}), "x y");
  EXPECT_EQ(booted_cmdline(std::string(2047, 'a'), std::nullopt).size(), 2047U);
  EXPECT_EQ(booted_cmdline(std::string(2048, 'a'), std::nullopt).size(), 2047U);
  EXPECT_EQ(booted_cmdline(std::string(2040, 'a') + " kho=on", BuiltInCmdline{"xyz"}),
            "xyz " + std::string(2040, 'a') + " kh");
}

TEST(WithoutBuiltIn, TakesAwayWhatThePreviousKernelPutThere) {
  const BuiltInCmdline front{"x y"};
  EXPECT_EQ(without_built_in("x y a", std::nullopt), "x y a");
  EXPECT_EQ(without_built_in("x y a", BuiltInCmdline{}), "x y a");
  EXPECT_EQ(without_built_in("x y a", front), "a");
  EXPECT_EQ(without_built_in("x y x y a x y", front), "a x y");
  EXPECT_EQ(without_built_in("x yz a", front), "x yz a");
  EXPECT_EQ(without_built_in("x y", front), "");
  EXPECT_EQ(without_built_in("", front), "");
}

TEST(GivenCmdline, DoesNotGrowBetweenTwoKernels) {
  const BuiltInCmdline one{"one"};
  const BuiltInCmdline other{"two 2"};
  auto line = booted_cmdline("root=/dev/vda", one);
  for (int update = 0; update < 4; ++update) {
    const auto& [running, target] = update % 2 == 0 ? std::pair(one, other) : std::pair(other, one);
    const auto given = given_cmdline(line, running, target);
    EXPECT_EQ(given, "root=/dev/vda");
    line = booted_cmdline(given, target);
  }
  // Of one whose configuration is not there.
  EXPECT_EQ(given_cmdline("one a", std::nullopt, one), "a");
  EXPECT_EQ(given_cmdline("one a", std::nullopt, std::nullopt), "one a");
  // All that is known of the root file system may be built in.
  const BuiltInCmdline all{"root=/dev/vda", /*overrides=*/true};
  EXPECT_EQ(given_cmdline("root=/dev/vda", all, std::nullopt), "root=/dev/vda");
  EXPECT_EQ(given_cmdline("root=/dev/vda", all, all), "");
}

TEST(CheckCmdlineText, RefusesWhatNoKernelReads) {
  for (const std::string& good : {""s, "a b"s, "a\tb\n"s, "caf\xc3\xa9"s}) {
    EXPECT_TRUE(check_cmdline_text(good)) << good;
  }
  for (const std::string& bad : {"a\0 b"s, "a\x1b[2J"s, "\x7f"s, "\x01"s}) {
    const auto checked = check_cmdline_text(bad);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace handover

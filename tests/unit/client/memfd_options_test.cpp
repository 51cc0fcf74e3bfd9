// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "memfd/options.h"

namespace handover::memfd {
namespace {

Options parsed(const std::vector<std::string>& arguments) {
  auto result = parse_options(arguments);
  if (!result) {
    ADD_FAILURE() << result.error().message;
    return {};
  }
  return std::get<Options>(*result);
}

std::string refused(const std::vector<std::string>& arguments) {
  auto result = parse_options(arguments);
  return result ? "" : result.error().message;
}

TEST(MemfdOptions, AllOfThem) {
  const auto options = parsed({"run",
                               "--name",
                               "db",
                               "--size",
                               "2G",
                               "--needs",
                               "a",
                               "--needs",
                               "b",
                               "--freeze",
                               "signal:USR1,USR2",
                               "--optional",
                               "--backend",
                               "luo",
                               "--wait",
                               "1.5",
                               "--wait-for",
                               "/srv",
                               "--wait-for",
                               "link:br0",
                               "--on-failure",
                               "discard",
                               "--user",
                               "nobody",
                               "--group",
                               "daemon",
                               "--notify",
                               "--",
                               "prog",
                               "--name",
                               "--",
                               "x"});
  EXPECT_EQ(options.keeper.name, "db");
  EXPECT_EQ(options.size, UINT64_C(2) << 30);
  EXPECT_EQ(options.keeper.needs, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.keeper.freeze.kind, common::FreezeMethod::Kind::signal);
  EXPECT_EQ(options.keeper.freeze.freeze_signal, SIGUSR1);
  EXPECT_EQ(options.keeper.freeze.thaw_signal, SIGUSR2);
  EXPECT_TRUE(options.keeper.optional);
  EXPECT_EQ(options.keeper.backend, "luo");
  EXPECT_EQ(options.keeper.wait_usec, 1'500'000U);
  EXPECT_EQ(options.keeper.wait_for,
            (std::vector<common::WaitFor>{{common::WaitFor::Kind::path, "/srv"},
                                          {common::WaitFor::Kind::link, "br0"}}));
  EXPECT_FALSE(options.keeper.keep_on_failure);
  EXPECT_EQ(options.keeper.user, "nobody");
  EXPECT_EQ(options.keeper.group, "daemon");
  EXPECT_TRUE(options.keeper.notify);
  // What stands behind the first "--" is COMMAND's alone.
  EXPECT_EQ(options.keeper.command, (std::vector<std::string>{"prog", "--name", "--", "x"}));
}

TEST(MemfdOptions, Defaults) {
  const auto options = parsed({"run", "--name", "db", "--size", "1M", "--", "prog"});
  EXPECT_EQ(options.keeper.freeze.kind, common::FreezeMethod::Kind::automatic);
  EXPECT_FALSE(options.keeper.optional);
  EXPECT_EQ(options.keeper.wait_usec, 90'000'000U);
  EXPECT_TRUE(options.keeper.keep_on_failure) << "what is there is not to be lost by default";
  EXPECT_FALSE(options.keeper.notify);
  EXPECT_TRUE(options.keeper.wait_for.empty());
}

TEST(MemfdOptions, Restart) {
  auto result = parse_options({"restart", "--name", "db"});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(std::get<Restart>(*result).name, "db");
  EXPECT_NE(refused({"restart"}).find("--name"), std::string::npos);
  EXPECT_NE(refused({"restart", "--name", "a/b"}), "");
}

TEST(MemfdOptions, WhatIsWrongIsNamed) {
  EXPECT_NE(refused({}).find("subcommand"), std::string::npos);
  EXPECT_NE(refused({"run", "--size", "1", "--", "a"}).find("--name"), std::string::npos);
  EXPECT_NE(refused({"run", "--name", "x", "--", "a"}).find("--size"), std::string::npos);
  EXPECT_NE(refused({"run", "--name", "x", "--size", "0", "--", "a"}).find("zero"),
            std::string::npos);
  EXPECT_NE(refused({"run", "--name", "x", "--size", "1"}).find("command"), std::string::npos);
  EXPECT_NE(refused({"run", "--name", "x", "--size", "1", "--"}).find("command"),
            std::string::npos);
  EXPECT_NE(refused({"run", "--name", "x", "--size", "1", "--bogus", "--", "a"}).find("--bogus"),
            std::string::npos);
  EXPECT_NE(refused({"run", "--name", "x", "--size", "1", "--on-failure", "lose", "--", "a"})
                .find("'lose'"),
            std::string::npos);
  EXPECT_NE(
      refused({"run", "--name", "x", "--size", "1", "--wait-for", "srv", "--", "a"}).find("'srv'"),
      std::string::npos);
  EXPECT_NE(
      refused({"run", "--name", "x", "--size", "1", "--wait", "-1", "--", "a"}).find("--wait"),
      std::string::npos);
}

TEST(MemfdOptions, HelpFitsAScreen) {
  auto result = parse_options({"run", "--help"});
  ASSERT_TRUE(result);
  const auto& text = std::get<Information>(*result).text;
  EXPECT_NE(text.find("LISTEN_FDNAMES"), std::string::npos);
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 24);
  std::size_t start = 0;
  for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    EXPECT_LE(end - start, 80U) << text.substr(start, end - start);
  }
}

}  // namespace
}  // namespace handover::memfd

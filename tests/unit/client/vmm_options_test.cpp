// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "support/temporary_directory.h"
#include "vmm/options.h"
#include "vmm/status.h"

namespace handover::vmm {
namespace {

std::string refused(const std::vector<std::string>& arguments) {
  auto options = parse_options(arguments);
  return options ? "" : options.error().message;
}

TEST(VmmOptions, EachCommand) {
  auto options = parse_options({"run", "--name", "g", "--config", "f", "--wait", "2"});
  ASSERT_TRUE(options) << options.error().message;
  const auto& run = std::get<RunOptions>(*options);
  EXPECT_EQ(run.name, "g");
  EXPECT_EQ(run.config, "f");
  EXPECT_EQ(run.directory, "/run/handover-vmm");
  EXPECT_EQ(run.wait_usec, 2'000'000U);
  options = parse_options({"check", "f"});
  ASSERT_TRUE(options);
  EXPECT_EQ(std::get<CheckOptions>(*options).config, "f");
  options = parse_options({"status", "g", "--json", "--directory", "/d"});
  ASSERT_TRUE(options);
  EXPECT_TRUE(std::get<StatusOptions>(*options).json);
  EXPECT_EQ(std::get<StatusOptions>(*options).directory, "/d");
  options = parse_options({"restart", "g", "--directory", "/d"});
  ASSERT_TRUE(options);
  EXPECT_EQ(std::get<RestartOptions>(*options).name, "g");
  EXPECT_EQ(std::get<RestartOptions>(*options).directory, "/d");
}

TEST(VmmOptions, WhatIsWrongIsNamed) {
  EXPECT_NE(refused({}).find("subcommand"), std::string::npos);
  EXPECT_NE(refused({"run", "--config", "f"}).find("--name"), std::string::npos);
  EXPECT_NE(refused({"run", "--name", "g"}).find("--config"), std::string::npos);
  EXPECT_NE(refused({"run", "--name", "a/b", "--config", "f"}).find("slash"), std::string::npos);
  EXPECT_NE(refused({"run", "--name", "g", "--config", "f", "--wait", "-1"}).find("--wait"),
            std::string::npos);
  EXPECT_NE(refused({"status"}).find("NAME"), std::string::npos);
  EXPECT_NE(refused({"status", ".."}).find("not a name"), std::string::npos);
  EXPECT_NE(refused({"restart", "a/b"}).find("slash"), std::string::npos);
  EXPECT_NE(refused({"check", "f", "--bogus"}).find("--bogus"), std::string::npos);
}

TEST(VmmOptions, HelpFitsAScreen) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--help"}, {"run", "--help"}, {"check", "--help"}, {"status", "--help"}}) {
    auto options = parse_options(arguments);
    ASSERT_TRUE(options);
    const auto& text = std::get<Information>(*options).text;
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 24);
    EXPECT_NE(text.find("Usage: handover-vmm"), std::string::npos) << text;
  }
}

TEST(VmmStatus, GoesThroughItsFile) {
  const test::TemporaryDirectory directory;
  const std::string folder = directory.path("status");
  Status status{"g", "running", 42, {9, 1}, 256 << 20, 32 << 20, Carried{true, 1'234'567, 300'000},
                0,   0};
  auto written = write_status(folder, status);
  ASSERT_TRUE(written) << written.error().message;
  auto read = read_status(folder, "g");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->state, "running");
  EXPECT_EQ(read->pid, 42);
  EXPECT_EQ(read->version.major, 9);
  EXPECT_EQ(read->ram_bytes, 256U << 20);
  EXPECT_EQ(read->carried, status.carried);
  EXPECT_NE(to_lines(*read).find("1234 ms"), std::string::npos);

  status.carried.reset();
  ASSERT_TRUE(write_status(folder, status));
  EXPECT_FALSE(read_status(folder, "g")->carried);
  auto absent = read_status(folder, "h");
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().message.find("no guest 'h'"), std::string::npos);
  EXPECT_FALSE(parse_status("{}"));
}

/// It had no time to say so.
TEST(VmmStatus, OfAProgramThatIsGone) {
  const test::TemporaryDirectory directory;
  Status status;
  status.name = "g";
  status.state = "running";
  status.pid = 42;
  status.program = getpid();
  status.program_start = start_of(getpid());
  EXPECT_NE(status.program_start, 0U);
  ASSERT_TRUE(write_status(directory.path(), status));
  EXPECT_EQ(read_status(directory.path(), "g")->state, "running");

  ++status.program_start;  // another program has its number now
  ASSERT_TRUE(write_status(directory.path(), status));
  auto read = read_status(directory.path(), "g");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->state, "ended");
  EXPECT_EQ(read->pid, 0);

  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(start_of(child), 0U);
}

}  // namespace
}  // namespace handover::vmm

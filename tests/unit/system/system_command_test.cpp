// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "system/command_run.h"

namespace handover::system {
namespace {

constexpr std::uint64_t second = 1'000'000;

Result<void> shell(const std::string& script, std::uint64_t limit_usec = 60 * second,
                   const std::vector<std::string>& environment = {}) {
  const std::atomic<bool> stop = false;
  return run_command({"/bin/sh", "-c", script}, environment, limit_usec, stop);
}

std::string wrong_with(const Result<void>& ended) { return ended ? "" : ended.error().message; }

TEST(Command, SaysHowItEnded) {
  EXPECT_TRUE(shell("exit 0"));
  EXPECT_EQ(wrong_with(shell("echo first; echo it is broken >&2; exit 3")),
            "it ended with status 3; its last line was 'it is broken'");
  EXPECT_EQ(wrong_with(shell("kill -9 $$")), "it was killed by signal 9");
}

TEST(Command, GetsItsArgumentsAndEnvironment) {
  const std::atomic<bool> stop = false;
  const auto ended =
      run_command({"/bin/sh", "-c", "test \"$1 $HANDOVER_UPDATE\" = \"a b 7\" && test -n \"$PATH\"",
                   "sh", "a b"},
                  {"HANDOVER_UPDATE=7"}, 60 * second, stop);
  EXPECT_TRUE(ended) << wrong_with(ended);
}

TEST(Command, EndsWithItsLimit) {
  const auto ended = shell("echo on it; sleep 600", second / 2);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::timed_out);
  EXPECT_EQ(ended.error().message, "it took longer than 500 ms; its last line was 'on it'");
}

TEST(Command, EndsWithTheDaemon) {
  std::atomic<bool> stop = false;
  std::thread ends([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = true;
  });
  const auto ended = run_command({"/bin/sh", "-c", "sleep 600"}, {}, 600 * second, stop);
  ends.join();
  EXPECT_EQ(wrong_with(ended), "it was stopped with handoverd");
}

TEST(Command, KeepsTheEndOfMuchOutput) {
  EXPECT_EQ(
      wrong_with(shell("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i + 1)); done; exit 1")),
      "it ended with status 1; its last line was 'line 19999'");
  EXPECT_EQ(wrong_with(shell("printf 'a\\033[31m\\n'; exit 1")).find('\033'), std::string::npos);
}

TEST(Command, ThatCannotBeRunSaysWhy) {
  const std::atomic<bool> stop = false;
  const auto missing = run_command({"/no/such/program"}, {}, second, stop);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().sys_errno, ENOENT);
  EXPECT_NE(missing.error().message.find("/no/such/program"), std::string::npos);
  EXPECT_FALSE(run_command({}, {}, second, stop));
}

}  // namespace
}  // namespace handover::system

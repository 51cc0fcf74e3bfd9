// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "common/command_end.h"

namespace handover::common {
namespace {

constexpr CommandEnd exits(int status) { return {true, status}; }
constexpr CommandEnd killed(int signal) { return {false, signal}; }

TEST(CommandEnd, IsReadFromWhatTheKernelSays) {
  siginfo_t info = {};
  info.si_code = CLD_EXITED;
  info.si_status = 3;
  EXPECT_TRUE(command_end(info).exited);
  EXPECT_EQ(command_end(info).exit_code(), 3);
  for (const int code : {CLD_KILLED, CLD_DUMPED}) {
    info.si_code = code;
    info.si_status = SIGSEGV;
    EXPECT_FALSE(command_end(info).exited);
    EXPECT_EQ(command_end(info).exit_code(), 128 + SIGSEGV);
  }
}

TEST(CommandEnd, AFailureIsWhatNobodyWanted) {
  for (const bool terminal : {false, true}) {
    EXPECT_FALSE(is_failure(exits(0), false, terminal));
    EXPECT_TRUE(is_failure(exits(1), false, terminal));
    EXPECT_TRUE(is_failure(killed(SIGSEGV), false, terminal));
    EXPECT_TRUE(is_failure(killed(SIGKILL), false, terminal));
    EXPECT_TRUE(is_failure(killed(SIGTERM), false, terminal)) << "from somewhere else";
    // Its unit is being stopped, say.
    for (const auto& end : {exits(0), exits(1), killed(SIGTERM), killed(SIGKILL)}) {
      EXPECT_FALSE(is_failure(end, true, terminal));
    }
  }
  for (const int key : {SIGINT, SIGQUIT}) {
    EXPECT_FALSE(is_failure(killed(key), false, true));
    EXPECT_TRUE(is_failure(killed(key), false, false));
    EXPECT_TRUE(is_failure(exits(128 + key), false, true));
  }
}

TEST(CommandEnd, InWords) {
  EXPECT_EQ(describe(exits(1)), "ended with exit status 1");
  EXPECT_EQ(describe(killed(SIGSEGV)), "was killed by signal 11 (Segmentation fault)");
}

}  // namespace
}  // namespace handover::common

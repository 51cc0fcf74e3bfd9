// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <csignal>

#include "common/freeze_method.h"

namespace handover::common {
namespace {

TEST(FreezeMethods, KnownOnes) {
  EXPECT_EQ(parse_freeze_method("auto")->kind, FreezeMethod::Kind::automatic);
  EXPECT_EQ(parse_freeze_method("cgroup")->kind, FreezeMethod::Kind::cgroup);
  EXPECT_EQ(parse_freeze_method("sigstop")->kind, FreezeMethod::Kind::stop);
  EXPECT_EQ(parse_freeze_method("signal:SIGUSR1")->freeze_signal, SIGUSR1);
  EXPECT_EQ(parse_freeze_method("signal:12")->freeze_signal, 12);
  EXPECT_EQ(parse_freeze_method("signal:USR1,CONT")->thaw_signal, 0);  // SIGCONT is sent anyway
}

TEST(FreezeMethods, UnknownOnes) {
  for (const char* text :
       {"", "freeze", "signal", "signal:", "signal:KILL", "signal:STOP", "signal:NOPE",
        "signal:USR1,", "signal:USR1,KILL", "signal:0", "signal:65", "signal:10x"}) {
    EXPECT_FALSE(parse_freeze_method(text)) << text;
  }
}

}  // namespace
}  // namespace handover::common

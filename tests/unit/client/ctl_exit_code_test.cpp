// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "ctl/exit_code.h"

namespace handover::ctl {
namespace {

TEST(ExitCodes, AreStable) {
  const std::pair<const char*, int> expected[] = {
      {"org.handover1.Error.InvalidArgument", 2},
      {"org.handover1.Error.InvalidName", 2},
      {"org.handover1.Error.NoSuchSession", 3},
      {"org.handover1.Error.NoSuchToken", 3},
      {"org.handover1.Error.NoSuchBackend", 3},
      {"org.handover1.Error.KernelNotFound", 3},
      {"org.handover1.Error.AccessDenied", 4},
      {"org.freedesktop.DBus.Error.AccessDenied", 4},
      {"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", 4},
      {"org.handover1.Error.Busy", 5},
      {"org.handover1.Error.NotAKernel", 6},
      {"org.handover1.Error.KernelIncompatible", 6},
      {"org.handover1.Error.Vetoed", 6},
      {"org.handover1.Error.TimedOut", 6},
      {"org.handover1.Error.Cancelled", 7},
      {"org.freedesktop.DBus.Error.ServiceUnknown", 8},
      {"org.freedesktop.DBus.Error.NoReply", 8},
      {"org.freedesktop.DBus.Error.Disconnected", 8},
      {"org.freedesktop.DBus.Error.Spawn.ChildExited", 8},
      {"org.handover1.Error.NameTaken", 1},
      {"org.handover1.Error.Unsupported", 1},
      {"org.handover1.Error.Internal", 1},
      {"org.handover1.Error.OfANewerDaemon", 1},
      {"org.example.Busy", 1},
      {"", 1},
  };
  for (const auto& [name, code] : expected) {
    EXPECT_EQ(static_cast<int>(exit_code_of(name)), code) << name;
  }
}

}  // namespace
}  // namespace handover::ctl

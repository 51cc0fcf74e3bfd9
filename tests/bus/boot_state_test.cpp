// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether the boot is over, from a PID 1 that the test plays.
#include "bus/boot_state.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "daemon_side.h"
#include "pid_one.h"

namespace handover::test {
namespace {

class BootState : public testing::Test {
 protected:
  // As the daemon in tests has it: this bus is not the host's.
  void SetUp() override { setenv("DBUS_SYSTEM_BUS_ADDRESS", side.address().text.c_str(), 1); }
  void TearDown() override { unsetenv("DBUS_SYSTEM_BUS_ADDRESS"); }

  std::optional<bool> over(sd_bus* bus) {
    std::optional<bool> answer;
    bus::ask_whether_boot_is_over(side.loop(), bus, [&](bool is_over) { answer = is_over; });
    EXPECT_FALSE(answer.has_value()) << "answered at once";
    EXPECT_TRUE(side.run_until([&] { return answer.has_value(); }));
    return answer;
  }

  DaemonSide side;
  bus::BusPtr daemon = side.connect();
};

TEST_F(BootState, IsWhatPidOneSays) {
  PidOne pid_one(side.outer(), side.address());
  for (const auto* state : {"running", "degraded"}) {
    pid_one.set_state(state);
    EXPECT_EQ(over(daemon.get()), true) << state;
  }
  for (const auto* state : {"initializing", "starting", "maintenance", "stopping", "offline", ""}) {
    pid_one.set_state(state);
    EXPECT_EQ(over(daemon.get()), false) << state;
  }
}

TEST_F(BootState, IsOverWherePidOneIsNoSystemd) {
  EXPECT_EQ(over(daemon.get()), true);
  EXPECT_EQ(over(nullptr), true);
}

TEST_F(BootState, IsNotKnownWhenTheBusGoes) {
  std::optional<bool> answer;
  side.bus().stop();
  bus::ask_whether_boot_is_over(side.loop(), daemon.get(), [&](bool is_over) { answer = is_over; });
  side.bus().restart();
  EXPECT_TRUE(side.run_until([&] { return answer.has_value(); }));
  EXPECT_EQ(answer, false);
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Guests that do not run are carried as they are, and an update that does not happen leaves them
// so.
#include <gtest/gtest.h>

#include <fstream>

#include "vmm_client.h"

namespace handover::test {
namespace {

class VmmStates : public VmmClient {
 protected:
  /// The guest of sleep.S, once it has written `command` to its power management.
  void run_asleep(char command_high, const char* state) {
    auto config = configuration("sleep");
    constexpr int command_at = 0x101;
    std::fstream disk(host.directory().path("sleep.raw"),
                      std::ios::in | std::ios::out | std::ios::binary);
    disk.seekp(command_at).put(command_high).flush();
    run(config);
    ASSERT_TRUE(host.run_until([&] { return run_state() == state; })) << run_state();
  }

  static constexpr char off = 0x20;
  static constexpr char sleep = 0x24;
};

TEST_F(VmmStates, RunningGuestKeepsItsDisk) {
  run(configuration("own-monitor"));
  expect_disk_good();
  expect_prepared_and_cancelled();
  EXPECT_EQ(run_state(), "running");
  expect_carried();
  expect_disk_good();
}

TEST_F(VmmStates, Paused) {
  run(configuration("own-monitor"));
  expect_disk_good();
  own("stop");
  expect_prepared_and_cancelled();
  EXPECT_EQ(run_state(), "paused");
  for (int update = 0; update < 2; ++update) {
    expect_carried();
    EXPECT_EQ(run_state(), "paused");
  }
  const auto before = serial();
  own("cont");
  expect_disk_good();
  EXPECT_GT(serial().size(), before.size());
}

TEST_F(VmmStates, PausedAndThawed) {
  below();
  auto config = configuration("own-monitor");
  config["needs"] = {"below"};
  run(config);
  expect_disk_good();
  own("stop");
  hold_when_frozen();
  const auto before = serial();
  expect_goes_on_after_cancel();
  EXPECT_EQ(run_state(), "paused");
  EXPECT_EQ(serial(), before) << "it has run";
  expect_carried();
  EXPECT_EQ(run_state(), "paused");
  own("cont");
  expect_disk_good();
}

TEST_F(VmmStates, PoweredOff) {
  run_asleep(off, "shutdown");
  expect_prepared_and_cancelled();
  EXPECT_EQ(run_state(), "shutdown");
  expect_carried();
  EXPECT_EQ(run_state(), "shutdown");
}

TEST_F(VmmStates, PoweredOffAndThawed) {
  below();
  run_asleep(off, "shutdown");
  hold_when_frozen();
  expect_goes_on_after_cancel();
  EXPECT_EQ(run_state(), "shutdown");
}

TEST_F(VmmStates, Suspended) {
  run_asleep(sleep, "suspended");
  if (major_version() < 9) {
    expect_refused("'suspended', which QEMU before 9.0 cannot carry");
    EXPECT_EQ(run_state(), "suspended");
    return;
  }
  expect_prepared_and_cancelled();
  EXPECT_EQ(run_state(), "suspended");
  expect_carried();
  EXPECT_EQ(run_state(), "suspended");
  own("system_wakeup");
  // It boots, and goes to sleep again.
  EXPECT_TRUE(host.run_until([&] { return own("query-status")["running"] == true; }));
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// With a driver that is played here: no test starts a real one.
#include <gtest/gtest.h>
#include <linux/watchdog.h>

#include <cerrno>

#include "support/temporary_directory.h"
#include "system/watchdog.h"

namespace handover::system::test {
namespace {

using handover::test::TemporaryDirectory;

constexpr std::uint64_t second = 1'000'000;

/// As the kernel's watchdog core, without time.
struct Driver {
  int most = 600;
  bool nowayout = false;
  bool runs = true;  ///< it is open
  bool magic = false;
  int timeout = 0;
  int fed = 0;
  Watchdog::Calls calls() {
    return {[this](int, unsigned long request, void* argument) {
              auto& number = *static_cast<int*>(argument);
              if (request == WDIOC_GETSUPPORT) return 0;
              if (request == WDIOC_SETTIMEOUT) {
                if (number > most) return refuse(EINVAL);
                timeout = number;
              } else if (request == WDIOC_KEEPALIVE) {
                ++fed;
              } else if (request == WDIOC_SETOPTIONS && number == WDIOS_DISABLECARD) {
                if (nowayout) return refuse(EBUSY);
                runs = false;
              } else {
                return refuse(ENOTTY);
              }
              return 0;
            },
            [this](int) { return magic = true; }};
  }
  static int refuse(int why) {
    errno = why;
    return -1;
  }
};

class WatchdogDevice : public testing::Test {
 protected:
  TemporaryDirectory directory;
  std::string device = directory.write("watchdog0", "");
  Driver driver;

  /// Opened, and armed.
  Result<Watchdog> arm(std::uint64_t timeout_usec) {
    auto opened = Watchdog::open(device, driver.calls());
    if (!opened) return opened;
    if (auto armed = opened->arm(timeout_usec); !armed) return fail(armed.error());
    return opened;
  }
};

TEST_F(WatchdogDevice, IsArmedAndStopped) {
  auto armed = arm(90 * second + 1);
  ASSERT_TRUE(armed) << armed.error().message;
  EXPECT_EQ(driver.timeout, 91) << "never shorter";
  EXPECT_EQ(armed->timeout_seconds(), 91U);
  EXPECT_EQ(driver.fed, 1);
  EXPECT_TRUE(driver.runs);
  EXPECT_TRUE(armed->feed());
  EXPECT_EQ(driver.fed, 2);
  EXPECT_TRUE(armed->disarm());
  EXPECT_FALSE(driver.runs);
  EXPECT_TRUE(driver.magic);
  EXPECT_TRUE(armed->disarm()) << "it is";
}

TEST_F(WatchdogDevice, ThatTakesNoSuchTimeIsStoppedAgain) {
  driver.most = 60;
  const auto armed = arm(90 * second);
  ASSERT_FALSE(armed);
  EXPECT_EQ(armed.error().code, ErrorCode::not_supported);
  EXPECT_FALSE(driver.runs);
}

TEST_F(WatchdogDevice, ThatCannotBeStoppedStaysOpen) {
  auto armed = arm(90 * second);
  ASSERT_TRUE(armed);
  driver.nowayout = true;
  const auto stopped = armed->disarm();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::busy);
  EXPECT_FALSE(driver.magic);
  EXPECT_TRUE(armed->feed());
}

TEST_F(WatchdogDevice, ThatTakesNoSuchTimeAndCannotBeStoppedStaysOpen) {
  driver.most = 60;
  driver.nowayout = true;
  auto opened = Watchdog::open(device, driver.calls());
  ASSERT_TRUE(opened);
  const auto armed = opened->arm(90 * second);
  ASSERT_FALSE(armed);
  EXPECT_EQ(armed.error().code, ErrorCode::busy);
  EXPECT_TRUE(opened->is_open());
  EXPECT_TRUE(opened->feed());
}

TEST_F(WatchdogDevice, OfAnEarlierKernelIsStopped) {
  auto opened = Watchdog::open(device, driver.calls());
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(driver.timeout, 0) << "its time is left as it is";
  EXPECT_TRUE(opened->disarm());
  EXPECT_FALSE(driver.runs);
  const auto absent = Watchdog::open(directory.path("none"), driver.calls());
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().sys_errno, ENOENT);
}

TEST(WatchdogFacts, AreReadFromSysfs) {
  const TemporaryDirectory root;
  auto facts = watchdog_facts("/dev/watchdog0", root.path());
  EXPECT_FALSE(facts.there);
  EXPECT_EQ(facts.stop_on_reboot, std::nullopt);
  root.write("dev/watchdog0", "");
  root.write("sys/class/watchdog/watchdog0/identity", "i6300ESB timer\n");
  root.write("sys/class/watchdog/watchdog0/state", "active\n");
  root.write("sys/class/watchdog/watchdog0/nowayout", "1\n");
  root.write("sys/module/watchdog/parameters/stop_on_reboot", "-1\n");
  facts = watchdog_facts("/dev/watchdog0", root.path());
  EXPECT_TRUE(facts.there);
  EXPECT_EQ(facts.identity, "i6300ESB timer");
  EXPECT_TRUE(facts.open_elsewhere);
  EXPECT_TRUE(facts.nowayout);
  EXPECT_EQ(facts.stop_on_reboot, -1);
  root.write("sys/class/watchdog/watchdog0/state", "inactive\n");
  root.write("sys/class/watchdog/watchdog0/nowayout", "0\n");
  root.write("sys/module/watchdog/parameters/stop_on_reboot", "0\n");
  facts = watchdog_facts("/dev/watchdog0", root.path());
  EXPECT_FALSE(facts.open_elsewhere);
  EXPECT_FALSE(facts.nowayout);
  EXPECT_EQ(facts.stop_on_reboot, 0);
}

/// What must not be armed is told of it by whatever name it has.
TEST(WatchdogFacts, AreThoseOfTheDeviceHoweverItIsNamed) {
  const TemporaryDirectory root;
  const auto nowayout = [&root](const std::string& device) {
    const auto facts = watchdog_facts(device, root.path());
    EXPECT_TRUE(facts.there) << device;
    EXPECT_EQ(facts.device, device);
    return facts.nowayout;
  };
  root.write("dev/watchdog", "");
  root.write("dev/watchdog0", "");
  root.write("dev/watchdog1", "");
  root.link("dev/watchdog-bmc", "watchdog1");
  root.link("dev/disguised", "/dev/null");
  root.link("sys/dev/char/1:3", "../../devices/platform/x/watchdog/watchdog1");
  root.write("sys/class/watchdog/watchdog0/nowayout", "1\n");
  root.write("sys/class/watchdog/watchdog1/nowayout", "0\n");
  EXPECT_TRUE(nowayout("/dev/watchdog0"));
  EXPECT_TRUE(nowayout("/dev/watchdog"));
  EXPECT_FALSE(nowayout("/dev/watchdog-bmc"));
  EXPECT_FALSE(nowayout("/dev/disguised"));
  root.write("sys/class/watchdog/watchdog0/nowayout", "0\n");
  root.write("sys/class/watchdog/watchdog1/nowayout", "1\n");
  EXPECT_FALSE(nowayout("/dev/watchdog"));
  EXPECT_TRUE(nowayout("/dev/watchdog-bmc"));
  EXPECT_TRUE(nowayout("/dev/disguised"));
  // And what is none is not one.
  root.write("dev/sda", "");
  EXPECT_FALSE(watchdog_facts("/dev/sda", root.path()).there);
}

TEST_F(WatchdogDevice, MustBeOne) {
  const auto opened = Watchdog::open(device);
  ASSERT_FALSE(opened) << "a file takes none of its ioctls";
  EXPECT_NE(opened.error().message.find("is no watchdog"), std::string::npos);
}

}  // namespace
}  // namespace handover::system::test

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/watchdog.h"

#include <gtest/gtest.h>

namespace handover {
namespace {

WatchdogFacts good_watchdog() {
  WatchdogFacts facts;
  facts.device = "/dev/watchdog0";
  facts.there = true;
  facts.identity = "iTCO_wdt";
  facts.stop_on_reboot = 0;
  return facts;
}

TEST(Watchdog, IsArmedIfItCanBeStoppedAgain) {
  EXPECT_EQ(why_not_armed(good_watchdog()), "");
  auto facts = good_watchdog();
  facts.there = false;
  EXPECT_NE(why_not_armed(facts), "");
  facts = good_watchdog();
  facts.open_elsewhere = true;
  EXPECT_NE(why_not_armed(facts).find("RuntimeWatchdogSec="), std::string::npos);
  facts = good_watchdog();
  facts.nowayout = true;
  EXPECT_NE(why_not_armed(facts).find("nowayout"), std::string::npos);
  facts = good_watchdog();
  facts.identity = "Software Watchdog";
  EXPECT_NE(why_not_armed(facts), "");
}

TEST(Watchdog, CountsOverAKexecIfTheKernelSaysSo) {
  auto facts = good_watchdog();
  EXPECT_TRUE(counts_over_reboot(facts));
  for (const auto& other : {std::optional(1), std::optional(-1), std::optional<int>()}) {
    facts.stop_on_reboot = other;
    EXPECT_FALSE(counts_over_reboot(facts));
  }
}

}  // namespace
}  // namespace handover

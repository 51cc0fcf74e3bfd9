// SPDX-License-Identifier: LGPL-2.1-or-later
// Facts about this boot: they must agree with each other.
#include <gtest/gtest.h>
#include <unistd.h>

#include <regex>

#include "support/temporary_directory.h"
#include "system/boot.h"

namespace handover::system {
namespace {

TEST(Boot, KnowsItself) {
  const auto id = boot_id();
  ASSERT_TRUE(id);
  EXPECT_TRUE(std::regex_match(*id, std::regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")))
      << *id;
  EXPECT_EQ(boot_id(), id);
  EXPECT_NE(kernel_release().find('.'), std::string::npos);
}

TEST(Boot, KnowsWhetherAKexecLedToIt) {
  const handover::test::TemporaryDirectory root;
  EXPECT_EQ(booted_by_kexec(root.path()), std::nullopt);
  root.write("proc/sys/kernel/bootloader_type", "208\n");
  EXPECT_EQ(booted_by_kexec(root.path()), true);
  root.write("proc/sys/kernel/bootloader_type", "114\n");  // GRUB
  EXPECT_EQ(booted_by_kexec(root.path()), false);
  root.write("proc/sys/kernel/bootloader_type", "none\n");
  EXPECT_EQ(booted_by_kexec(root.path()), std::nullopt);
}

TEST(Boot, WritesTheTimeAsRfc3339) {
  EXPECT_TRUE(
      std::regex_match(now_rfc3339(), std::regex("20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:]{8}Z")));
}

TEST(Boot, CountsSteadily) {
  counter_start();
  const std::uint64_t first = counter_frequency();
  const std::uint64_t second = counter_frequency(100'000);
  ASSERT_GT(first, 1'000'000U) << "no counter that handoverd knows is slower than 1 MHz";
  const auto tolerance = static_cast<double>(first) / 100;
  EXPECT_NEAR(static_cast<double>(first), static_cast<double>(second), tolerance);

  const Ticks before = counter_now();
  const std::uint64_t clock_before = uptime_usec();
  ::usleep(20'000);
  const std::uint64_t clock_usec = uptime_usec() - clock_before;
  const std::uint64_t usec = ticks_to_usec(counter_now() - before, second);
  // However late a busy machine is: the counter saw no less than the clock, which it was read
  // around.
  EXPECT_GE(usec, clock_usec - clock_usec / 100);
  EXPECT_GE(usec, 19'800U);
}

TEST(Boot, KnowsWhenTheKernelAndInitBegan) {
  const std::uint64_t frequency = counter_frequency();
  const Ticks start = counter_at_kernel_start(frequency);
  const std::uint64_t clock_before = uptime_usec();
  const Ticks now = counter_now();
  const std::uint64_t clock_after = uptime_usec();
  ASSERT_LE(start, now);
  if (start > 0) {  // 0: the counter is younger than the kernel's clock, as after a migration
    const std::uint64_t since = ticks_to_usec(now - start, frequency);
    EXPECT_GE(since + 1'000'000, clock_before);
    EXPECT_LE(since, clock_after + 1'000'000);
  }
  const auto init = init_start_usec();
  ASSERT_TRUE(init) << init.error().message;
  EXPECT_LE(*init, uptime_usec());
  EXPECT_EQ(init_start_usec(), init);
}

}  // namespace
}  // namespace handover::system

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/charges.h"

namespace handover::engine::test {
namespace {

const Owner anna{1000, "a.service"};
const Owner anna_elsewhere{1000, "b.service"};
const Owner ben{1001, ""};
const Owner root_shell{0, ""};
const Owner root_service{0, "vm.service"};

Limits limits(Resource resource, std::uint64_t most) {
  Limits all{};
  all.at(static_cast<std::size_t>(resource)) = most;
  return all;
}

TEST(Charges, LimitsHoldForAUserWhateverTheService) {
  Ledger ledger(limits(Resource::sessions, 3));
  auto one = ledger.take(anna, Resource::sessions, 2);
  ASSERT_TRUE(one);
  auto two = ledger.take(anna_elsewhere, Resource::sessions, 1);
  ASSERT_TRUE(two);
  const auto refused = ledger.take(anna, Resource::sessions, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_NE(refused.error().message.find("max_sessions_per_user"), std::string::npos);
  EXPECT_TRUE(ledger.take(ben, Resource::sessions, 3));
}

TEST(Charges, RootsServicesHaveAccountsOfTheirOwn) {
  Ledger ledger(limits(Resource::clients, 1));
  auto one = ledger.take(root_service, Resource::clients, 1);
  ASSERT_TRUE(one);
  EXPECT_FALSE(ledger.take(root_service, Resource::clients, 1));
  EXPECT_TRUE(ledger.take(Owner{0, "other.service"}, Resource::clients, 1));
  EXPECT_TRUE(ledger.take(root_shell, Resource::clients, 1));
}

TEST(Charges, RootIsNotLimitedByBytes) {
  Ledger ledger(limits(Resource::bytes, 100));
  EXPECT_TRUE(ledger.take(root_service, Resource::bytes, 1000));
  EXPECT_FALSE(ledger.take(anna, Resource::bytes, 101));
  EXPECT_TRUE(ledger.take(anna, Resource::bytes, 100));
}

TEST(Charges, AreGivenBackByWhoeverHasThem) {
  Ledger ledger(limits(Resource::descriptors, 2));
  {
    auto charge = ledger.take(anna, Resource::descriptors, 2);
    ASSERT_TRUE(charge);
    EXPECT_FALSE(ledger.take(anna, Resource::descriptors, 1));
  }
  EXPECT_EQ(ledger.used(Resource::descriptors), 0U);
  EXPECT_TRUE(ledger.take(anna, Resource::descriptors, 2));
}

TEST(Charges, MoveWithTheirHolder) {
  Ledger ledger(Limits{});
  auto one = ledger.take_anyway(anna, Resource::sessions, 1);
  auto other = ledger.take_anyway(ben, Resource::sessions, 4);
  Charge moved = std::move(one);
  EXPECT_EQ(moved.amount(), 1U);
  EXPECT_EQ(ledger.used(Resource::sessions), 5U);
  moved = std::move(other);  // what it had is given back
  EXPECT_EQ(ledger.used(Resource::sessions), 4U);
  moved.give_back();
  moved.give_back();
  EXPECT_EQ(ledger.used(Resource::sessions), 0U);
}

TEST(Charges, WhatCameAlongIsCountedWhateverTheLimit) {
  Ledger ledger(limits(Resource::sessions, 1));
  const auto came = ledger.take_anyway(anna, Resource::sessions, 5);
  EXPECT_EQ(ledger.used(Resource::sessions), 5U);
  EXPECT_FALSE(ledger.take(anna, Resource::sessions, 1));
}

TEST(Charges, NoAmountOverflows) {
  Ledger ledger(limits(Resource::bytes, 100));
  auto some = ledger.take(anna, Resource::bytes, 60);
  ASSERT_TRUE(some);
  EXPECT_FALSE(ledger.take(anna, Resource::bytes, std::numeric_limits<std::uint64_t>::max()));
  EXPECT_TRUE(ledger.take(anna, Resource::bytes, 40));
}

TEST(Charges, ZeroIsNoLimit) {
  Ledger ledger(Limits{});
  EXPECT_TRUE(ledger.take(anna, Resource::sessions, 1'000'000));
}

TEST(Charges, ChangedLimitsHoldFromNowOn) {
  Ledger ledger(limits(Resource::sessions, 1));
  auto one = ledger.take(anna, Resource::sessions, 1);
  ledger.set_limits(limits(Resource::sessions, 2));
  EXPECT_TRUE(ledger.take(anna, Resource::sessions, 1));
}

TEST(Charges, OutliveTheirLedger) {
  Charge left;
  {
    Ledger ledger(Limits{});
    left = ledger.take_anyway(anna, Resource::sessions, 1);
  }
  left.give_back();
}

TEST(Charges, AccountsOfThoseWhoHoldNothingGo) {
  Ledger ledger(Limits{});
  const auto kept = ledger.take_anyway(ben, Resource::sessions, 1);
  for (std::uint32_t uid = 2000; uid < 12'000; ++uid) {
    (void)ledger.take_anyway(Owner{uid, ""}, Resource::sessions, 1);
  }
  EXPECT_LT(ledger.accounts(), 200U);
  EXPECT_EQ(ledger.used(Resource::sessions), 1U);
}

TEST(Charges, LimitsFollowConfigurationAndMemory) {
  Config config;
  config.max_sessions_per_user = 7;
  config.max_bytes_per_user = 0;
  config.max_clients_per_user = 5;
  config.max_needs_per_client = 4;
  auto all = limits_of(config, 1'000'000);
  EXPECT_EQ(all.at(static_cast<std::size_t>(Resource::sessions)), 7U);
  EXPECT_EQ(all.at(static_cast<std::size_t>(Resource::bytes)), 1'000'000U);
  EXPECT_EQ(all.at(static_cast<std::size_t>(Resource::needs)), 20U);
  config.max_bytes_per_user = 500;
  all = limits_of(config, 1'000'000);
  EXPECT_EQ(all.at(static_cast<std::size_t>(Resource::bytes)), 500U);
}

}  // namespace
}  // namespace handover::engine::test

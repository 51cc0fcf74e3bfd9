// SPDX-License-Identifier: LGPL-2.1-or-later
// 200 clients that need each other at random: everybody is called in the right order, both ways.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "host.h"

namespace handover::test {
namespace {

#ifdef __SANITIZE_THREAD__
// Each registration and each Restore writes all clients down: quadratic, and a minute long here.
constexpr std::size_t client_count = 120;
#else
constexpr std::size_t client_count = 200;
#endif

/// A random graph without circles: who comes later may need up to four of those before it.
Journal::Needs random_needs(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  // The order of the names says nothing about the order of the graph.
  std::vector<std::string> names;
  for (std::size_t i = 1; i < client_count; ++i) names.push_back("client-" + std::to_string(i));
  std::shuffle(names.begin(), names.end(), random);
  Journal::Needs needs;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::set<std::string> needed;
    if (i > 0) {
      for (auto left = random() % 5; left > 0; --left) needed.insert(names[random() % i]);
    }
    // It needs nobody and everybody needs it: all others freeze before it.
    needed.insert("base");
    needs[names[i]] = {needed.begin(), needed.end()};
  }
  needs["base"] = {};
  return needs;
}

class Order : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Order, OfTwoHundredClients) {
  const auto needs = random_needs(GetParam());
  Host host;
  host.boot();
  for (const auto& [name, needed] : needs) host.add({.name = name, .needs = needed});
  ASSERT_TRUE(host.start_clients());
  auto& base = **std::find_if(host.clients().begin(), host.clients().end(),
                              [](const auto& client) { return client->name() == "base"; });
  const auto& journal = host.journal();

  // All freeze, the last one refuses: all thaw.
  base.on(Call::freeze, ScriptedClient::Behaviour::veto);
  auto updated = host.update();
  ASSERT_TRUE(updated.ok()) << updated.error << ": " << updated.message;
  auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find("base does not want to"), std::string::npos) << finished.reason;
  EXPECT_EQ(journal.count(Call::prepare), client_count);
  EXPECT_EQ(journal.count(Call::freeze), client_count);
  EXPECT_EQ(journal.count(Call::thaw), client_count);
  EXPECT_EQ(journal.count(Call::restore), 0U);
  EXPECT_EQ(journal.out_of_order(Call::prepare, needs, false), "");
  EXPECT_EQ(journal.out_of_order(Call::freeze, needs, true), "");
  EXPECT_EQ(journal.out_of_order(Call::thaw, needs, false), "");
  EXPECT_EQ(host.generation(), 0U);
  host.expect_calm();

  base.on(Call::freeze, ScriptedClient::Behaviour::answer);
  host.journal().clear();
  updated = host.update();
  ASSERT_TRUE(updated.ok()) << updated.error << ": " << updated.message;
  finished = host.finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  EXPECT_EQ(journal.count(Call::prepare), client_count);
  EXPECT_EQ(journal.count(Call::freeze), client_count);
  EXPECT_EQ(journal.count(Call::restore), client_count);
  EXPECT_EQ(journal.count(Call::thaw), 0U);
  EXPECT_EQ(journal.count(Call::cancel), 0U);
  EXPECT_EQ(journal.out_of_order(Call::prepare, needs, false), "");
  EXPECT_EQ(journal.out_of_order(Call::freeze, needs, true), "");
  EXPECT_EQ(journal.out_of_order(Call::restore, needs, false), "");
  EXPECT_EQ(host.generation(), 1U);
  host.expect_calm();
}

INSTANTIATE_TEST_SUITE_P(Seeds, Order, testing::Values(1, 2, 3));

/// More at once than a system bus lets one connection wait for (max_replies_per_connection: 128).
TEST(OrderFree, TwoHundredClientsAtOnce) {
  Host host;
  host.boot();
  for (std::size_t i = 0; i < client_count; ++i) {
    auto& client = host.add({.name = "client-" + std::to_string(i)});
    client.on(Call::freeze, ScriptedClient::Behaviour::hold);
  }
  ASSERT_TRUE(host.start_clients());
  const auto updated = host.update();
  ASSERT_TRUE(updated.ok()) << updated.error << ": " << updated.message;
  ASSERT_TRUE(host.run_until([&] { return host.journal().count(Call::freeze) >= 100; }));
  host.loop().run_pending();
  for (const auto& client : host.clients()) {
    client->on(Call::freeze, ScriptedClient::Behaviour::answer);
    client->let_go();
  }
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  EXPECT_EQ(host.journal().count(Call::freeze), client_count);
  EXPECT_EQ(host.journal().count(Call::restore), client_count);
  host.expect_calm();
}

}  // namespace
}  // namespace handover::test

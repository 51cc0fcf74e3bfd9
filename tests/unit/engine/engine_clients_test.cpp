// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "engine/clients.h"

namespace handover::engine::test {
namespace {

using Names = std::set<std::string>;

ClientRecord record(const std::string& name, const std::string& connection,
                    std::vector<std::string> needs = {}) {
  ClientRecord client;
  client.name = name;
  client.bus_name = connection;
  client.needs = std::move(needs);
  return client;
}

class ClientsTest : public testing::Test {
 protected:
  ClientRecord& add(const std::string& name, const std::string& connection,
                    std::vector<std::string> needs = {}) {
    clients.connect(connection);
    return **clients.put(record(name, connection, std::move(needs)), {});
  }
  Names gone(const std::string& connection) {
    const auto names = clients.disconnect(connection);
    return {names.begin(), names.end()};
  }

  Clients clients;
};

TEST_F(ClientsTest, FindsWhomItHas) {
  add("disk", ":1.1").required = false;
  ASSERT_NE(clients.find("disk"), nullptr);
  EXPECT_FALSE(clients.find("disk")->required);
  EXPECT_EQ(clients.find("guest"), nullptr);
  clients.drop("disk");
  EXPECT_EQ(clients.find("disk"), nullptr);
  clients.drop("disk");
  EXPECT_TRUE(clients.all().empty());
}

TEST_F(ClientsTest, NamesThoseInAPhase) {
  add("a", ":1.1").phase = ClientPhase::frozen;
  add("b", ":1.2").phase = ClientPhase::thawing;
  add("c", ":1.3");
  EXPECT_EQ(clients.in({ClientPhase::frozen, ClientPhase::thawing}), (Names{"a", "b"}));
  EXPECT_EQ(clients.in({ClientPhase::prepared}), Names{});
}

TEST_F(ClientsTest, OneConnectionMayHaveMany) {
  add("a", ":1.1");
  add("b", ":1.1");
  add("c", ":1.2");
  EXPECT_TRUE(clients.connected(*clients.find("b")));
  EXPECT_EQ(gone(":1.1"), (Names{"a", "b"}));
  EXPECT_FALSE(clients.connected(*clients.find("b")));
  EXPECT_TRUE(clients.connected(*clients.find("c")));
  EXPECT_EQ(gone(":1.1"), Names{});
  EXPECT_EQ(clients.all().size(), 3U);
}

/// A bus that was restarted gives its names anew.
TEST_F(ClientsTest, SomebodyElseOnItsOldNameIsNotTheClient) {
  add("a", ":1.1");
  EXPECT_EQ(clients.connections(), std::vector<std::string>{":1.1"});
  EXPECT_EQ(gone(":1.1"), Names{"a"});
  EXPECT_TRUE(clients.connections().empty());
  add("b", ":1.1");
  EXPECT_FALSE(clients.connected(*clients.find("a")));
  EXPECT_TRUE(clients.connected(*clients.find("b")));
  EXPECT_EQ(gone(":1.1"), Names{"b"});
}

TEST_F(ClientsTest, WhoComesAgainElsewhereLeavesTheOldConnectionAlone) {
  add("a", ":1.1");
  add("a", ":1.2");
  EXPECT_EQ(gone(":1.1"), Names{});
  EXPECT_TRUE(clients.connected(*clients.find("a")));
  EXPECT_EQ(gone(":1.2"), Names{"a"});
}

TEST_F(ClientsTest, OfAnEarlierKernelIsNotConnected) {
  ASSERT_TRUE(clients.put(record("a", ""), {}));
  EXPECT_FALSE(clients.connected(*clients.find("a")));
}

TEST_F(ClientsTest, WhoIsDroppedLeavesWithItsConnection) {
  add("a", ":1.1");
  add("b", ":1.1");
  clients.drop("a");
  EXPECT_TRUE(clients.connected(*clients.find("b")));
  EXPECT_EQ(gone(":1.1"), Names{"b"});
}

TEST_F(ClientsTest, ACircleIsRefusedAndNothingChanges) {
  add("a", ":1.1", {"b"});  // which is not there yet
  add("b", ":1.2", {"c"});
  clients.connect(":1.3");
  const auto circle = clients.put(record("c", ":1.3", {"a"}), {});
  ASSERT_FALSE(circle);
  EXPECT_EQ(circle.error().code, ErrorCode::dependency_cycle);
  EXPECT_EQ(clients.find("c"), nullptr);
  EXPECT_EQ(gone(":1.3"), Names{});
  add("c", ":1.4");
  EXPECT_FALSE(clients.put(record("c", ":1.4", {"a"}), {}));
  EXPECT_TRUE(clients.find("c")->needs.empty());
  EXPECT_EQ(gone(":1.4"), Names{"c"});
}

TEST_F(ClientsTest, NeedsCountAsSoonAsBothAreThere) {
  add("guest", ":1.1", {"disk"});
  add("disk", ":1.2");
  Wave wave(clients.graph(), Direction::dependencies_first);
  EXPECT_EQ(wave.take_ready(), std::vector<std::string>{"disk"});
  wave.done("disk");
  EXPECT_EQ(wave.take_ready(), std::vector<std::string>{"guest"});
}

TEST_F(ClientsTest, WhoComesAgainMayNeedOthers) {
  add("a", ":1.1", {"b"});
  add("b", ":1.2");
  add("a", ":1.1");
  EXPECT_TRUE(clients.put(record("b", ":1.2", {"a"}), {}));
}

TEST_F(ClientsTest, WhoIsGoneIsInNobodysWay) {
  add("guest", ":1.1", {"disk"});
  add("disk", ":1.2");
  clients.drop("disk");
  Wave wave(clients.graph(), Direction::dependencies_first);
  EXPECT_EQ(wave.take_ready(), std::vector<std::string>{"guest"});
  wave.done("guest");
  EXPECT_TRUE(wave.finished());
}

TEST_F(ClientsTest, ChargesAreGivenBackWithTheClient) {
  Ledger ledger(Limits{});
  const auto charge = [&] {
    std::vector<Charge> charges;
    charges.push_back(ledger.take_anyway(Owner{1000, ""}, Resource::clients, 1));
    return charges;
  };
  ASSERT_TRUE(clients.put(record("a", ":1.1"), charge()));
  ASSERT_TRUE(clients.put(record("a", ":1.1"), charge()));
  EXPECT_EQ(ledger.used(Resource::clients), 1U);
  clients.drop("a");
  EXPECT_EQ(ledger.used(Resource::clients), 0U);
}

}  // namespace
}  // namespace handover::engine::test

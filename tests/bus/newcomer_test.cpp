// SPDX-License-Identifier: LGPL-2.1-or-later
// Who registers while an update is being prepared: it alone is prepared, and not for ever.
#include <gtest/gtest.h>

#include "host.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

class Newcomer : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    below = &host.add({.name = "below"});
    above = &host.add({.name = "above", .needs = {"below"}});
    ASSERT_TRUE(host.start_clients());
  }

  ScriptedClient& come(ScriptedClient::Setup setup) {
    auto& client = host.add(std::move(setup));
    client.start();
    EXPECT_TRUE(client.started());
    return client;
  }
  /// Each of those was asked once, and stood still once.
  void expect_asked_once(std::initializer_list<const char*> names) {
    for (const auto* name : names) {
      EXPECT_EQ(host.journal().count(name, Call::prepare), 1U) << name;
      EXPECT_EQ(host.journal().count(name, Call::freeze), 1U) << name;
    }
  }

  Host host;
  ScriptedClient* below = nullptr;
  ScriptedClient* above = nullptr;
};

TEST_F(Newcomer, IsPreparedAlone) {
  ASSERT_TRUE(host.update_held_by(*above, Call::prepare));
  come({.name = "late", .needs = {"above"}});
  above->on(Call::prepare, Behaviour::answer);
  above->let_go();
  EXPECT_EQ(host.finished().outcome, "done");
  expect_asked_once({"below", "above", "late"});
  host.expect_calm();
}

TEST_F(Newcomer, IsPreparedAloneWhenAllOthersWaitForTheFreeze) {
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  come({.name = "late", .needs = {"above"}});
  host.update_ends("done");
  expect_asked_once({"below", "above", "late"});
  host.expect_calm();
}

/// One process ends, the next takes its place: what the first one prepared went with it.
TEST_F(Newcomer, ThatComesBackIsPreparedAgain) {
  auto& restarted = come({.name = "restarted", .required = false});
  ASSERT_TRUE(host.update_held_by(*above, Call::prepare));
  ASSERT_TRUE(host.run_until([&] { return restarted.prepared(); }));
  restarted.come_back();
  ASSERT_TRUE(restarted.started());
  above->on(Call::prepare, Behaviour::answer);
  above->let_go();
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_EQ(host.journal().count("restarted", Call::prepare), 2U);
  EXPECT_EQ(host.journal().count("restarted", Call::freeze), 1U);
  expect_asked_once({"below", "above"});
  host.expect_calm();
}

/// It registers again whenever it is asked to prepare, so that there is always somebody to ask.
class RestlessNewcomer : public Newcomer {
 protected:
  static constexpr std::size_t rounds = 3;
};

TEST_F(RestlessNewcomer, EndsTheUpdateIfItIsRequired) {
  auto& restless = come({.name = "restless"});
  restless.on(Call::prepare, Behaviour::enroll_again);
  ASSERT_TRUE(host.update().ok());
  const auto asked = [&] { return host.journal().count("restless", Call::prepare); };
  ASSERT_TRUE(host.run_until(
      [&] { return !host.observer().all("UpdateFinished").empty() || asked() > 3 * rounds; }));
  ASSERT_LE(asked(), rounds);
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find("'restless'"), std::string::npos) << finished.reason;
  EXPECT_EQ(host.journal().count("below", Call::prepare), 1U);
  EXPECT_EQ(host.journal().count("above", Call::prepare), 1U);
  EXPECT_EQ(host.journal().count(Call::freeze), 0U);
  host.expect_calm();

  restless.on(Call::prepare, Behaviour::answer);
  host.update_ends("done");
}

TEST_F(RestlessNewcomer, IsLeftOutIfItIsOptional) {
  auto& restless = come({.name = "restless", .required = false});
  restless.on(Call::prepare, Behaviour::enroll_again);
  ASSERT_TRUE(host.update().ok());
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  EXPECT_LE(host.journal().count("restless", Call::prepare), rounds);
  EXPECT_EQ(host.journal().count("restless", Call::freeze), 0U);
  EXPECT_GE(host.journal().count("restless", Call::cancel), 1U);
  EXPECT_EQ(host.history()[0]["left_out"][0]["client"], "restless");
  host.expect_calm();
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// An update goes on without an optional client: what it did not hold still is not given back as if
// it had.
#include <gtest/gtest.h>

#include <ostream>

#include "host.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

struct Case {
  Call call;
  Behaviour behaviour;
  const char* reason;
};

void PrintTo(const Case& tested, std::ostream* out) {
  *out << to_string(tested.call)
       << (tested.behaviour == Behaviour::veto   ? "Vetoes"
           : tested.behaviour == Behaviour::hold ? "IsSilent"
                                                 : "Dies");
}

/// "base" ← "middle" ← "top"; the middle one is optional and does not freeze.
class LeftOut : public testing::TestWithParam<Case> {
 protected:
  static constexpr std::uint64_t short_limit_usec = 5'000'000;

  void start(const nlohmann::json& config = {}) {
    const auto [call, behaviour, reason] = GetParam();
    host.emplace(config);
    host->boot();
    const auto limit = [&](Call tested) {
      return tested == call && behaviour == Behaviour::hold ? short_limit_usec : 0;
    };
    base = &host->add({.name = "base"});
    middle = &host->add({.name = "middle",
                         .needs = {"base"},
                         .required = false,
                         .prepare_timeout_usec = limit(Call::prepare),
                         .freeze_timeout_usec = limit(Call::freeze)});
    top = &host->add({.name = "top", .needs = {"middle"}});
    std::uint64_t seed = 1;
    for (auto& client : host->clients()) client->keep(client->name(), 1, seed++, 5000);
    ASSERT_TRUE(host->start_clients());
    middle->once(call, behaviour);
  }

  /// In the new generation; a client that died is started again.
  void update() {
    const auto updated = host->update();
    ASSERT_TRUE(updated.ok()) << updated.error << ": " << updated.message;
    ASSERT_TRUE(host->reaches("restoring"));
    if (GetParam().behaviour == Behaviour::leave) middle->come_back();
  }

  /// And it was told so at once.
  void expect_named() {
    if (GetParam().behaviour != Behaviour::leave) {
      const auto told = GetParam().call == Call::freeze ? Call::thaw : Call::cancel;
      EXPECT_EQ(host->journal().count("middle", told), 1U);
    }
    const auto history = host->history();
    ASSERT_EQ(history.size(), 1U);
    ASSERT_TRUE(history[0].contains("left_out")) << history[0];
    const auto& left_out = history[0]["left_out"];
    ASSERT_EQ(left_out.size(), 1U) << history[0];
    EXPECT_EQ(left_out[0]["client"], "middle");
    EXPECT_NE(left_out[0]["reason"].get<std::string>().find(GetParam().reason), std::string::npos)
        << left_out;
  }
  void expect_restored(const ScriptedClient& client, const char* quiesced) {
    EXPECT_EQ(client.memory()[0].retrieved, 1U) << client.name();
    const auto& arguments = client.arguments();
    ASSERT_TRUE(arguments.contains("quiesced")) << client.name();
    EXPECT_EQ(arguments.at("quiesced"), quiesced) << client.name();
  }

  std::optional<Host> host;
  ScriptedClient* base = nullptr;
  ScriptedClient* middle = nullptr;
  ScriptedClient* top = nullptr;
};

TEST_P(LeftOut, IsNotRestored) {
  start();
  update();
  const auto finished = host->finished();
  EXPECT_EQ(finished.outcome, "done-with-losses");
  EXPECT_EQ(finished.generation, "1");
  EXPECT_NE(finished.reason.find("middle"), std::string::npos) << finished.reason;
  const auto losses = host->observer().all("StateLost");
  EXPECT_FALSE(losses.empty());
  for (const auto& lost : losses) EXPECT_EQ(lost.arguments.at(1), "middle") << lost.arguments[2];
  EXPECT_EQ(host->journal().count("middle", Call::restore), 0U);
  expect_named();
  expect_restored(*base, "true");
  expect_restored(*top, "true");

  // It starts anew, under the same names.
  ASSERT_TRUE(middle->started());
  EXPECT_EQ(middle->states().back(), "new");
  for (const auto& client : host->clients()) ASSERT_TRUE(client->started());
  host->expect_calm();
  host->observer().clear();
  host->update_ends("done");
  expect_restored(*middle, "true");
}

TEST_P(LeftOut, IsRestoredWhereTheConfigurationSaysSo) {
  start({{"clients", {{"middle", {{"if_not_frozen", "restore"}}}}}});
  update();
  const auto finished = host->finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  EXPECT_TRUE(host->observer().all("StateLost").empty());
  expect_named();
  expect_restored(*base, "true");
  expect_restored(*middle, "false");
  expect_restored(*top, "true");
  host->expect_calm();
}

INSTANTIATE_TEST_SUITE_P(
    Phases, LeftOut,
    testing::Values(Case{Call::prepare, Behaviour::veto, "middle does not want to"},
                    Case{Call::prepare, Behaviour::hold, "did not answer"},
                    Case{Call::prepare, Behaviour::leave, "left the bus"},
                    Case{Call::freeze, Behaviour::veto, "middle does not want to"},
                    Case{Call::freeze, Behaviour::hold, "did not answer"},
                    Case{Call::freeze, Behaviour::leave, "left the bus"}),
    [](const auto& tested) { return testing::PrintToString(tested.param); });

}  // namespace
}  // namespace handover::test

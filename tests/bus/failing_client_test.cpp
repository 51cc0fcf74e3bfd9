// SPDX-License-Identifier: LGPL-2.1-or-later
// A client that refuses, never answers or dies, in each phase: the others run on, and the reason
// names the culprit. left_out_test.cpp has those that an update goes on without.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>

#include "host.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

/// For those who never answer; long enough for whoever means to, also under a sanitizer on a busy
/// machine.
constexpr std::uint64_t short_limit_usec = 3'000'000;
constexpr const char* short_thaw = "6s";

/// "base" needs nobody, "middle" misbehaves, "top" needs both: so that in either direction somebody
/// has been called before the culprit.
struct Three {
  /// `silent_in`: the call for whose answer the daemon waits for `limit_usec` only.
  explicit Three(bool required, std::optional<Call> silent_in = {},
                 const nlohmann::json& config = {{"thaw_timeout", short_thaw}},
                 std::uint64_t limit_usec = short_limit_usec)
      : host(config) {
    host.boot();
    const auto limit = [&](Call call) { return silent_in == call ? limit_usec : 0; };
    base = &host.add({.name = "base"});
    middle = &host.add({.name = "middle",
                        .needs = {"base"},
                        .required = required,
                        .prepare_timeout_usec = limit(Call::prepare),
                        .freeze_timeout_usec = limit(Call::freeze),
                        .restore_timeout_usec = limit(Call::restore)});
    top = &host.add({.name = "top", .needs = {"base", "middle"}});
    base->keep("base", 1, 11, 10'000);
    middle->keep("middle", 1, 12, 10'000);
    top->keep("top", 1, 13, 10'000);
    EXPECT_TRUE(host.start_clients());
  }

  Host host;
  ScriptedClient* base;
  ScriptedClient* middle;
  ScriptedClient* top;
};

struct Case {
  Call call;
  Behaviour behaviour;
  const char* reason;  ///< a part of the sentence that the update ends with
  const char* error = "";
};

/// The call that is waited for a short time only: none, if its answer is to come.
std::optional<Call> limited(const Case& tested) {
  return tested.behaviour == Behaviour::hold ? std::optional(tested.call) : std::nullopt;
}

void PrintTo(const Case& tested, std::ostream* out) {
  const char* const names[] = {"Answers", "Vetoes", "IsSilent", "Dies"};
  *out << to_string(tested.call) << names[static_cast<int>(tested.behaviour)];
}

std::string name_of(const testing::TestParamInfo<Case>& info) {
  return testing::PrintToString(info.param);
}

class FailingClient : public testing::TestWithParam<Case> {};

TEST_P(FailingClient, Required) {
  const auto [call, behaviour, reason, error] = GetParam();
  Three three(true, limited(GetParam()));
  auto& host = three.host;
  three.middle->on(call, behaviour);
  const auto before = host.list_sessions();

  const auto finished = host.update_ends("failed");
  EXPECT_EQ(finished.generation, "0");
  EXPECT_NE(finished.reason.find("'middle'"), std::string::npos) << finished.reason;
  EXPECT_NE(finished.reason.find(reason), std::string::npos) << finished.reason;
  const auto removed = host.observer().next("JobRemoved");
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->arguments.at(2), "failed");
  EXPECT_EQ(removed->arguments.at(3), finished.reason);

  // Everybody who was prepared was told, and nobody was restored.
  const auto& journal = host.journal();
  EXPECT_EQ(journal.count(Call::restore), 0U);
  EXPECT_EQ(journal.count("base", Call::cancel) + journal.count("base", Call::thaw), 1U);
  EXPECT_EQ(journal.count("top", Call::thaw), call == Call::freeze ? 1U : 0U);
  if (call == Call::freeze) {
    EXPECT_EQ(host.observer().states(),
              (std::vector<std::string>{"preparing", "prepared", "freezing", "thawing", "normal"}));
  } else {
    EXPECT_EQ(host.observer().states(),
              (std::vector<std::string>{"preparing", "cancelling", "normal"}));
  }
  if (behaviour == Behaviour::leave) three.middle->come_back();
  three.middle->on(call, Behaviour::answer);
  ASSERT_TRUE(three.middle->started());
  EXPECT_EQ(host.list_sessions(), before);
  const auto history = host.history();
  ASSERT_EQ(history.size(), 1U);
  EXPECT_EQ(history[0]["outcome"], "failed");
  EXPECT_EQ(history[0]["reason"], finished.reason);
  EXPECT_EQ(history[0]["error"], error_name(error));
  EXPECT_EQ(history[0]["client"], "middle");
  EXPECT_EQ(history[0]["call"], call == Call::prepare ? "Prepare" : "Freeze");

  // And nothing of it stands in the way of the next one.
  const auto again = host.update();
  ASSERT_TRUE(again.ok()) << again.error << ": " << again.message;
  EXPECT_EQ(host.finished().outcome, "done");
  for (const auto& client : host.clients()) EXPECT_EQ(client->memory()[0].retrieved, 1U);
  host.expect_calm();
}

INSTANTIATE_TEST_SUITE_P(
    Phases, FailingClient,
    testing::Values(Case{Call::prepare, Behaviour::veto, "middle does not want to", "Vetoed"},
                    Case{Call::prepare, Behaviour::hold, "did not answer", "TimedOut"},
                    Case{Call::prepare, Behaviour::leave, "left the bus", "ClientGone"},
                    Case{Call::freeze, Behaviour::veto, "middle does not want to", "Vetoed"},
                    Case{Call::freeze, Behaviour::hold, "did not answer", "TimedOut"},
                    Case{Call::freeze, Behaviour::leave, "left the bus", "ClientGone"}),
    name_of);

/// Thaw and Cancel are not asked for: whatever the client says, all the others are thawed.
class FailingUndo : public testing::TestWithParam<Case> {};

TEST_P(FailingUndo, EndsInNormal) {
  const auto [call, behaviour, reason, error] = GetParam();
  Three three(true);
  auto& host = three.host;
  three.middle->on(call, behaviour);
  three.base->on(call == Call::thaw ? Call::freeze : Call::prepare, Behaviour::answer);
  // The last one to be called refuses, so that everybody has to be undone.
  auto& culprit = call == Call::thaw ? *three.base : *three.top;
  culprit.on(call == Call::thaw ? Call::freeze : Call::prepare, Behaviour::veto);
  const auto finished = host.update_ends("failed");
  EXPECT_NE(finished.reason.find(culprit.name() + " does not want to"), std::string::npos);
  if (call == Call::thaw) {
    EXPECT_NE(finished.reason.find(reason), std::string::npos) << finished.reason;
  }
  EXPECT_EQ(host.journal().count("top", call), 1U);
  EXPECT_EQ(host.state(), "normal");
  EXPECT_FALSE(three.base->frozen());
  EXPECT_FALSE(three.top->frozen());
}

INSTANTIATE_TEST_SUITE_P(Phases, FailingUndo,
                         testing::Values(Case{Call::cancel, Behaviour::veto, ""},
                                         Case{Call::cancel, Behaviour::hold, ""},
                                         Case{Call::cancel, Behaviour::leave, ""},
                                         Case{Call::thaw, Behaviour::veto,
                                              "middle does not want to"},
                                         Case{Call::thaw, Behaviour::hold, "did not answer"},
                                         Case{Call::thaw, Behaviour::leave, "left the bus"}),
                         name_of);

class FailingRestore : public testing::TestWithParam<Case> {};

/// Its state is kept until it registers again; the claim time is the last word.
TEST_P(FailingRestore, RequiredIsWaitedFor) {
  Three three(true);
  auto& host = three.host;
  three.middle->on(Call::restore, GetParam().behaviour);
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] { return host.journal().count("middle", Call::restore) == 1; }));
  EXPECT_EQ(host.journal().count("top", Call::restore), 0U);
  // Another process takes its place.
  three.middle->die();
  ASSERT_TRUE(host.run_until([&] {
    for (const auto& client : host.list_clients()) {
      if (client.name == "middle") return client.phase == "restoring";
    }
    return false;
  }));
  three.middle->on(Call::restore, Behaviour::answer);
  three.middle->come_back();
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  EXPECT_EQ(three.middle->states().back(), "restoring");
  EXPECT_EQ(three.middle->memory()[0].retrieved, 1U);
  EXPECT_EQ(host.journal().count("top", Call::restore), 1U);
  host.expect_calm();
}

TEST_P(FailingRestore, OptionalIsGivenUp) {
  Three three(false, limited(GetParam()));
  auto& host = three.host;
  three.middle->on(Call::restore, GetParam().behaviour);
  const auto finished = host.update_ends("done-with-losses");
  EXPECT_NE(finished.reason.find("'middle'"), std::string::npos) << finished.reason;
  EXPECT_NE(finished.reason.find(GetParam().reason), std::string::npos) << finished.reason;
  EXPECT_EQ(host.observer().all("StateLost").size(), 2U);  // the client, and its token
  EXPECT_EQ(host.journal().count("top", Call::restore), 1U);
  EXPECT_EQ(host.history()[0]["losses"].size(), 2U);
  EXPECT_EQ(host.state(), "normal");
}

INSTANTIATE_TEST_SUITE_P(Phases, FailingRestore,
                         testing::Values(Case{Call::restore, Behaviour::veto,
                                              "middle does not want to"},
                                         Case{Call::restore, Behaviour::hold, "did not answer"},
                                         Case{Call::restore, Behaviour::leave, "left the bus"}),
                         name_of);

TEST(DyingClient, WhilePrepared) {
  Three three(true);
  auto& host = three.host;
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  three.middle->die();
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find("'middle' left the bus"), std::string::npos) << finished.reason;
  EXPECT_EQ(host.journal().count("base", Call::cancel), 1U);
  EXPECT_EQ(host.journal().count("top", Call::cancel), 1U);
  host.expect_calm();
}

TEST(DyingClient, PreparedWhileAnotherPrepares) {
  Three three(true);
  auto& host = three.host;
  ASSERT_TRUE(host.update_held_by(*three.top, Call::prepare));
  three.middle->die();
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find("'middle' left the bus"), std::string::npos) << finished.reason;
  host.expect_calm();
}

/// It is frozen, and dies: whatever it kept still is where the others cannot use it.
TEST(DyingClient, Frozen) {
  Three three(true);
  auto& host = three.host;
  ASSERT_TRUE(host.update_held_by(*three.base, Call::freeze));
  ASSERT_TRUE(three.middle->frozen());
  three.middle->die();
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find("'middle' left the bus"), std::string::npos) << finished.reason;
  EXPECT_FALSE(three.top->frozen());
  EXPECT_EQ(host.journal().count("base", Call::thaw), 1U);
  EXPECT_EQ(host.state(), "normal");
}

/// Who waits behind two that are gone, one behind the other, is thawed all the same.
TEST(DyingClient, TwoInAChainFrozen) {
  Host host{{{"thaw_timeout", short_thaw}}};
  host.boot();
  auto& ground = host.add({.name = "ground"});
  auto& base = host.add({.name = "base", .needs = {"ground"}});
  auto& middle = host.add({.name = "middle", .needs = {"base"}});
  auto& top = host.add({.name = "top", .needs = {"middle"}});
  ASSERT_TRUE(host.start_clients());
  ASSERT_TRUE(host.update_held_by(ground, Call::freeze));
  ASSERT_TRUE(base.frozen() && middle.frozen() && top.frozen());
  base.die();
  middle.die();
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find("'base' is gone"), std::string::npos) << finished.reason;
  EXPECT_NE(finished.reason.find("'middle' is gone"), std::string::npos) << finished.reason;
  EXPECT_FALSE(top.frozen());
  EXPECT_EQ(host.state(), "normal");
}

/// A frozen client's successor is thawed in its place.
TEST(DyingClient, FrozenAndBackInTime) {
  Three three(true, {}, {{"thaw_timeout", "30s"}});
  auto& host = three.host;
  three.base->on(Call::freeze, Behaviour::hold);
  three.base->on(Call::thaw, Behaviour::hold);
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] { return three.base->holds() && three.middle->frozen(); }));
  three.middle->die();
  ASSERT_TRUE(host.run_until([&] { return host.journal().count("base", Call::thaw) == 1; }));
  three.middle->come_back();
  ASSERT_TRUE(host.run_until([&] { return three.middle->states().size() == 2; }));
  EXPECT_EQ(three.middle->states().back(), "thawing");
  three.base->let_go();
  EXPECT_EQ(host.finished().outcome, "failed");
  EXPECT_EQ(host.journal().count("middle", Call::thaw), 1U);
  host.expect_calm();
}

TEST(DyingClient, OptionalWhileFrozen) {
  Three three(false);
  auto& host = three.host;
  three.base->on(Call::freeze, Behaviour::hold);
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] { return three.base->holds() && three.middle->frozen(); }));
  three.middle->die();
  ASSERT_TRUE(host.run_until([&] {
    const auto listed = host.list_clients();
    return std::none_of(listed.begin(), listed.end(), [&](const ListedClient& client) {
      return client.name == "middle" && !client.bus_name.empty() &&
             client.bus_name == three.base->connection().unique_name();
    });
  }));
  three.base->let_go();
  ASSERT_TRUE(host.reaches("restoring"));
  three.middle->come_back();
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_EQ(three.middle->memory()[0].retrieved, 1U);
  host.expect_calm();
}

TEST(ClientCalls, CarryTheirArguments) {
  Three three(true, Call::prepare, {{"thaw_timeout", "40s"}}, 50'000'000);
  auto& host = three.host;
  three.base->on(Call::freeze, Behaviour::veto);
  ASSERT_TRUE(host.update().ok());
  host.finished();
  // Of Thaw.
  EXPECT_EQ(three.middle->arguments().at("generation"), "0");
  EXPECT_EQ(three.middle->arguments().at("timeout-usec"), "40000000");
  EXPECT_NE(three.middle->arguments().at("reason").find("base does not want to"),
            std::string::npos);
  ASSERT_TRUE(host.update_held_by(*three.middle, Call::prepare));
  EXPECT_EQ(three.middle->arguments().at("timeout-usec"), "50000000");
  EXPECT_FALSE(three.middle->arguments().at("kernel-release").empty());
  EXPECT_FALSE(three.middle->arguments().contains("reason"));
  ASSERT_TRUE(host.cancel().ok());
  EXPECT_EQ(host.finished().outcome, "cancelled");
}

/// An answer that comes after its time limit, or after the update was cancelled, means nothing.
TEST(ClientCalls, ALateAnswerMeansNothing) {
  Three three(true, Call::prepare);
  auto& host = three.host;
  three.middle->on(Call::prepare, Behaviour::hold);
  host.update_ends("failed");
  three.middle->let_go();
  host.loop().run_pending();
  EXPECT_EQ(host.state(), "normal");
  EXPECT_EQ(host.phase_of("middle"), "idle");
  EXPECT_EQ(host.journal().count(Call::freeze), 0U);
}

}  // namespace
}  // namespace handover::test

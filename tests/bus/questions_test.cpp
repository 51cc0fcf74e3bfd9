// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon asks others because somebody called: it stands in nobody's way, whatever becomes
// of the answer.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "host.h"
#include "memory.h"
#include "policy_kit.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;
using Clock = std::chrono::steady_clock;

constexpr int some_uid = 1;  // daemon

/// A user who may do nothing, with many connections and more calls than a bus lets the daemon wait
/// for answers (128), while polkit thinks.
class Flood : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can connect as another user";
    host.boot();
    base = &host.add({.name = "base"});
    top = &host.add({.name = "top", .needs = {"base"}});
    ASSERT_TRUE(host.start_clients());
    polkit = std::make_unique<PolicyKit>(host.loop(), host.bus_address());
    polkit->set(PolicyKit::Behaviour::hold);
  }

  void flood() {
    constexpr int connections = 6;
    constexpr int calls_each = 60;
    for (int i = 0; i < connections; ++i) {
      flooders.push_back(std::make_unique<Connection>(host.loop(), host.bus_address_of(some_uid)));
      for (int j = 0; j < calls_each; ++j) {
        flooders.back()->send(manager_path, manager_interface, "CreateSession",
                              with("sa{sv}", "x", 0),
                              [this](const Answer& answer) { answers.push_back(answer.error); });
      }
    }
    sent = connections * calls_each;
  }

  Host host;
  ScriptedClient* base = nullptr;
  ScriptedClient* top = nullptr;
  std::unique_ptr<PolicyKit> polkit;
  std::vector<std::unique_ptr<Connection>> flooders;
  std::vector<std::string> answers;
  std::size_t sent = 0;
};

TEST_F(Flood, KeepsNobodyFrozen) {
  // "top" is frozen, "base" has not answered, an administrator cancels.
  const auto job = host.update_held_by(*base, Call::freeze);
  ASSERT_TRUE(job);
  ASSERT_TRUE(top->frozen());
  flood();
  ASSERT_TRUE(host.run_until([&] { return answers.size() + 4 == sent; }));
  EXPECT_EQ(polkit->held(), 4U);
  EXPECT_EQ(host.statistic("questions-open"), 4U);
  EXPECT_EQ(host.statistic("questions-refused"), sent - 4);
  EXPECT_EQ(host.statistic("calls-held"), 4U);
  EXPECT_TRUE(std::all_of(answers.begin(), answers.end(),
                          [](const auto& error) { return error == error_name("Busy"); }));
  ASSERT_TRUE(host.cancel().ok());
  EXPECT_EQ(host.finished().outcome, "cancelled");
  EXPECT_FALSE(top->frozen());
  EXPECT_FALSE(base->frozen());
  host.expect_calm();
}

TEST_F(Flood, StopsNoUpdate) {
  flood();
  ASSERT_TRUE(host.run_until([&] { return polkit->held() == 4; }));
  const auto updated = host.update();
  ASSERT_TRUE(updated.ok()) << updated.message;
  EXPECT_EQ(host.finished().outcome, "done");
  host.expect_calm();
}

class HangingBus : public testing::Test {
 protected:
  void SetUp() override { host.boot(); }

  /// A call of somebody whom the daemon does not know yet has come as far as the daemon when the
  /// bus stops.
  void call_and_hang() {
    host.manager().signal_daemon(SIGSTOP);
    stranger = std::make_unique<Connection>(host.loop(), host.bus_address());
    stranger->send(manager_path, manager_interface, "CreateSession", with("sa{sv}", "late", 0),
                   [this](const Answer& answer) { created = answer.error; });
    EXPECT_TRUE(on_bus(*stranger, stranger->unique_name()));
    host.bus().stop();
    host.manager().signal_daemon(SIGCONT);
  }

  Host host;
  std::unique_ptr<Connection> stranger;
  std::optional<std::string> created;
};

/// Asking the bus who calls once took its time limit, 25 s, in which nobody was served.
TEST_F(HangingBus, DoesNotConcernThePrivateSocket) {
  Connection peer(host.loop(), host.private_address());
  ASSERT_EQ(peer.get_property(manager_path, manager_interface, "State", "s").text(), "normal");
  call_and_hang();
  const auto before = Clock::now();
  const auto memory = memory_with(1, 1000);
  const auto made =
      peer.call(manager_path, manager_interface, "CreateSession", with("sa{sv}", "mine", 0));
  EXPECT_TRUE(made.ok()) << made.message;
  EXPECT_TRUE(peer.call(session_path("mine"), session_interface, "Preserve",
                        with("tha{sv}", UINT64_C(1), memory.get(), 0))
                  .ok());
  EXPECT_LT(Clock::now() - before, std::chrono::seconds(20));
  EXPECT_FALSE(created.has_value());
  host.bus().go_on();
  ASSERT_TRUE(host.run_until([&] { return created.has_value(); }));
  EXPECT_EQ(*created, "");
  EXPECT_EQ(host.list_sessions().size(), 2U);
}

/// A sender's first calls wait until the bus has said who he is: in their order.
TEST(FirstCalls, AreHandledInTheirOrder) {
  Host host;
  host.boot();
  for (int round = 0; round < 20; ++round) {
    Connection caller(host.loop(), host.bus_address());
    const auto session = "session-" + std::to_string(round);
    std::vector<std::string> answers;
    const auto note = [&](const Answer& answer) { answers.push_back(answer.error); };
    std::vector<UniqueFd> memory;
    caller.send(manager_path, manager_interface, "CreateSession",
                with("sa{sv}", session.c_str(), 0), note);
    for (std::uint64_t token = 0; token < 3; ++token) {
      memory.push_back(memory_with(token + 100U * static_cast<unsigned>(round), 100));
      caller.send(session_path(session), session_interface, "Preserve",
                  with("tha{sv}", token, memory.back().get(), 0), note);
    }
    caller.send(session_path(session), session_interface, "Unpreserve", with("t", UINT64_C(1)),
                note);
    ASSERT_TRUE(host.run_until([&] { return answers.size() == 5; }));
    EXPECT_EQ(answers, (std::vector<std::string>{"", "", "", "", ""}));
  }
}

}  // namespace
}  // namespace handover::test

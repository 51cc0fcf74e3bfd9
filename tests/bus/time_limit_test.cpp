// SPDX-License-Identifier: LGPL-2.1-or-later
// A time limit is the client's time: a daemon that does not run for a while accuses nobody.
#include <gtest/gtest.h>

#include <csignal>
#include <ostream>

#include "host.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

constexpr std::uint64_t limit_usec = 5'000'000;

struct Case {
  const char* name;
  bool direct;
};

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.name; }

class StoppedDaemon : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    host.boot();
    client = &host.add({.name = "client", .freeze_timeout_usec = limit_usec},
                       GetParam().direct ? host.private_address() : host.bus_address());
    client->keep("client", 1, 1, 10'000);
    ASSERT_TRUE(host.start_clients());
    ASSERT_TRUE(host.update_held_by(*client, Call::freeze));
    host.manager().signal_daemon(SIGSTOP);
  }
  /// Longer than the client's limit.
  void wait_and_go_on() {
    EXPECT_FALSE(host.loop().run_until([] { return false; }, std::chrono::milliseconds(5500)));
    host.manager().signal_daemon(SIGCONT);
  }

  Host host;
  ScriptedClient* client = nullptr;
};

TEST_P(StoppedDaemon, AccusesNobodyWhoAnswered) {
  client->let_go();
  wait_and_go_on();
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  host.expect_calm();
}

TEST_P(StoppedDaemon, AccusesWhoDidNot) {
  wait_and_go_on();
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find("did not answer"), std::string::npos) << finished.reason;
}

INSTANTIATE_TEST_SUITE_P(Ways, StoppedDaemon,
                         testing::Values(Case{"Bus", false}, Case{"Direct", true}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace handover::test

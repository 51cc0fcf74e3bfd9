// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-fleet as the gate of an emulated host: what it lets through, what it refuses before
// anybody is frozen, and what becomes of its slot.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>

#include "etcd_process.h"
#include "fleet/lock.h"
#include "gate_fixture.h"

namespace handover::test {
namespace {

using nlohmann::json;

TEST_F(Gate, WithoutAnythingConfiguredLetsThrough) {
  start(json::object());
  host.update_ends("done");
  EXPECT_TRUE(comes_to("idle"));
  // It has nothing that stands still, and says so.
  const auto record = host.history().front();
  const auto times = record.at("timeline").at("clients").at("fleet");
  EXPECT_FALSE(times.contains("blackout_usec")) << times.dump();
}

TEST_F(Gate, ASlotOfEtcdIsTakenAndGivenBack) {
  if (!Etcd::there()) GTEST_SKIP() << "etcd-server is not installed";
  Etcd etcd;
  ASSERT_TRUE(etcd.start());
  start({{"lock",
          {{"kind", "etcd"},
           {"endpoints", etcd.endpoints()},
           {"group", "web"},
           {"slots", 1},
           {"proxy", "none"},
           {"timeout-seconds", 5}}}});

  const std::atomic<bool> never = false;
  fleet::Lock lock;
  lock.kind = fleet::LockKind::etcd;
  lock.urls = etcd.endpoints();
  lock.group = "web";
  lock.access.proxy = "none";
  const auto server = fleet::make_http_server(lock.access, never);
  fleet::LockClient other(lock, *server, never);
  ASSERT_TRUE(other.take({"you", "host-b", 1, "2026-12-01T03:00:00Z"}).held());
  EXPECT_EQ(refused_update(),
            "Client 'fleet', Prepare: All 1 slots of group 'web' are held: 0 by host-b since "
            "2026-12-01T03:00:00Z.");
  auto said = run({"lock", "list", "--config", configuration});
  EXPECT_NE(said.text.find("0     host-b"), std::string::npos) << said.text;
  EXPECT_EQ(run({"lock", "break", "--config", configuration, "host-z"}).code, 1);
  said = run({"lock", "break", "--config", configuration, "host-b"});
  EXPECT_EQ(said.text, "Slot 0, held by host-b since 2026-12-01T03:00:00Z, is free.\n");

  ASSERT_TRUE(host.prepare().error.empty());
  ASSERT_TRUE(host.reaches("prepared"));
  auto board = other.board();
  ASSERT_TRUE(board) << board.error().message;
  ASSERT_EQ(board->held.size(), 1U);
  EXPECT_EQ(status()["phase"], "held");
  EXPECT_EQ(status()["lock"]["slot"], 0);
  host.update_ends("done");
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_TRUE(other.board()->held.empty());
}

TEST_F(Gate, AServerThatIsLostBeforeTheFreezeIsAVeto) {
  FleetLockServer server;
  server.start();
  start({{"lock", fleetlock(server)}});
  server.stop();
  const auto reason = refused_update();
  EXPECT_NE(reason.find("gave no answer"), std::string::npos) << reason;
  ASSERT_TRUE(comes_to("idle"));
  // It carries the request out, and its answer is lost: what may be held is given back.
  server.start();
  server.behave({{"drop", true}});
  EXPECT_NE(refused_update().find("gave no answer"), std::string::npos);
  EXPECT_EQ(server.holder("web"), "");
  EXPECT_EQ(status()["phase"], "releasing");
  server.behave(json::object());
  EXPECT_TRUE(comes_to("idle"));
}

TEST_F(Gate, AServerThatIsLostLaterGetsTheSlotBackWhenItIsThereAgain) {
  FleetLockServer server;
  server.start();
  start({{"lock", fleetlock(server)}});
  ASSERT_TRUE(host.prepare().error.empty());
  ASSERT_TRUE(host.reaches("prepared"));
  EXPECT_EQ(server.holder("web"), "me");
  server.stop();
  host.update_ends("done");
  ASSERT_TRUE(comes_to("releasing"));
  EXPECT_EQ(status()["lock"]["held"], true);
  EXPECT_EQ(status()["lock"]["server"]["answers"], false);
  // And over a start of the gate.
  start_again();
  EXPECT_EQ(status()["phase"], "releasing");
  server.start();
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(server.holder("web"), "");
}

TEST_F(Gate, AnotherUpdateThatIsRefusedDoesNotForgetASlotThatIsOwed) {
  FleetLockServer server;
  server.start();
  start({{"lock", fleetlock(server)}});
  ASSERT_TRUE(host.prepare().error.empty());
  ASSERT_TRUE(host.reaches("prepared"));
  server.stop();
  ASSERT_TRUE(host.cancel().error.empty());
  EXPECT_EQ(host.finished().outcome, "cancelled");
  ASSERT_TRUE(comes_to("releasing"));
  EXPECT_NE(refused_update().find("gave no answer"), std::string::npos);
  EXPECT_TRUE(comes_to("releasing"));
  // Nor one that cannot be written down.
  const auto staged = host.directory().path("fleet-state/turn.json.new");
  ASSERT_EQ(mkdir(staged.c_str(), 0755), 0);
  EXPECT_NE(refused_update().find("Cannot write"), std::string::npos);
  EXPECT_TRUE(comes_to("releasing"));
  ASSERT_EQ(rmdir(staged.c_str()), 0);
  EXPECT_EQ(server.holder("web"), "me");
  server.start();
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(server.holder("web"), "");
}

TEST_F(Gate, ASlotGoesBackToWhereItWasTaken) {
  FleetLockServer first;
  FleetLockServer second;
  first.start();
  second.start();
  start({{"lock", fleetlock(first)}});
  ASSERT_TRUE(host.prepare().error.empty());
  ASSERT_TRUE(host.reaches("prepared"));
  first.stop();
  ASSERT_TRUE(host.cancel().error.empty());
  EXPECT_EQ(host.finished().outcome, "cancelled");
  ASSERT_TRUE(comes_to("releasing"));
  start({{"lock", fleetlock(second)}});
  EXPECT_NE(refused_update().find("has to go back first (fleetlock at " + first.url()),
            std::string::npos);
  EXPECT_EQ(status()["phase"], "releasing");
  first.start();
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(first.holder("web"), "");
  EXPECT_TRUE(second.requests().empty());
  ASSERT_TRUE(host.prepare().error.empty());
  ASSERT_TRUE(host.reaches("prepared"));
  EXPECT_EQ(second.holder("web"), "me");
}

TEST_F(Gate, ACancelledUpdateGivesTheSlotBack) {
  FleetLockServer server;
  server.start();
  start({{"lock", fleetlock(server)}});
  ASSERT_TRUE(host.prepare().error.empty());
  ASSERT_TRUE(host.reaches("prepared"));
  EXPECT_NE(run({"release"}).text.find("'handoverctl cancel' ends it"), std::string::npos);
  ASSERT_TRUE(host.cancel().error.empty());
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(server.holder("web"), "");
}

TEST_F(Gate, AGateThatDiesInAnUpdateEndsItAndGivesTheSlotBack) {
  FleetLockServer server;
  server.start();
  start({{"lock", fleetlock(server)}});
  ASSERT_TRUE(host.prepare().error.empty());
  ASSERT_TRUE(host.reaches("prepared"));
  gate->signal(SIGKILL);
  EXPECT_EQ(host.finished().outcome, "failed");
  EXPECT_EQ(server.holder("web"), "me");
  start_again();
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(server.holder("web"), "");
}

TEST_F(Gate, AHostThatIsNotWellKeepsItsSlot) {
  FleetLockServer server;
  server.start();
  const auto well = host.directory().write("well", "");
  start({{"lock", fleetlock(server)},
         {"health",
          {{"before", {{{"command", {"/bin/true"}}}}},
           {"after", {{{"command", {"/bin/sh", "-c", "echo no disk >&2; test ! -e " + well}}}}}}}});
  host.update_ends("done-with-losses");
  ASSERT_TRUE(comes_to("kept"));
  EXPECT_EQ(server.holder("web"), "me");
  EXPECT_EQ(status()["health"]["before"]["result"], "passed");
  EXPECT_EQ(status()["health"]["after"]["result"], "failed");
  const auto record = host.history().front().dump();
  EXPECT_NE(record.find("command /bin/sh ended with exit status 1: no disk"), std::string::npos)
      << record;
  // The roll-out stops here, over starts of the gate, until a person lets go.
  start_again();
  EXPECT_NE(refused_update().find("'handover-fleet release' lets go"), std::string::npos);
  EXPECT_EQ(run({"release"}).code, 0);
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(server.holder("web"), "");
  std::remove(well.c_str());
  host.update_ends("done");
  EXPECT_TRUE(comes_to("idle"));
}

TEST_F(Gate, ThatDiesInItsHealthCheckChecksAgain) {
  FleetLockServer server;
  server.start();
  const auto slow = host.directory().write("slow", "");
  const auto began = host.directory().path("began");
  start({{"lock", fleetlock(server)},
         {"health",
          {{"after",
            {{{"command",
               {"/bin/sh", "-c", "touch " + began + "; test ! -e " + slow + " || sleep 300"}},
              {"timeout-seconds", 600}}}}}}});
  ASSERT_TRUE(host.update().error.empty());
  ASSERT_TRUE(host.run_until([&] { return access(began.c_str(), F_OK) == 0; }));
  EXPECT_EQ(status()["phase"], "checking");
  std::remove(slow.c_str());
  start_again();
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(server.holder("web"), "");
  EXPECT_EQ(status()["health"]["after"]["result"], "passed");
}

TEST_F(Gate, AHostThatIsNotWellBeforeIsNotUpdated) {
  FleetLockServer server;
  server.start();
  start({{"lock", fleetlock(server)},
         {"health", {{"before", {{{"command", {"/bin/sleep", "60"}}, {"timeout-seconds", 1}}}}}}});
  EXPECT_EQ(refused_update(),
            "Client 'fleet', Prepare: The host is not well before the update: command /bin/sleep "
            "took longer than 1 s.");
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(Gate, ARehearsalKeepsTheSlotForTheUpdateThatFollows) {
  FleetLockServer server;
  server.start();
  start({{"lock", fleetlock(server)}});
  ASSERT_TRUE(host.request("Rehearse").error.empty());
  EXPECT_EQ(host.finished().outcome, "rehearsed");
  EXPECT_EQ(status()["phase"], "held");
  EXPECT_EQ(server.holder("web"), "me");
  host.update_ends("done");
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(server.holder("web"), "");
}

TEST_F(Gate, IsPreparedFirstAndRestoredLast) {
  FleetLockServer server;
  server.start();
  start({{"lock", fleetlock(server)}});
  host.observer().clear();
  host.update_ends("done");
  ASSERT_TRUE(comes_to("idle"));
  ASSERT_TRUE(host.observer().is_up_to_date());
  std::vector<std::string> order;
  for (const auto& change : host.observer().all("ClientChanged")) {
    if (change.arguments[1] == "prepared" || change.arguments[1] == "restored") {
      order.push_back(change.arguments[0] + " " + change.arguments[1]);
    }
  }
  EXPECT_EQ(order, (std::vector<std::string>{"fleet prepared", "worker prepared", "worker restored",
                                             "fleet restored"}));
}

TEST_F(Gate, ABadConfigurationIsOneLine) {
  struct Case {
    json config;
    const char* expected;
    int code = 2;  ///< 1: it may get better by itself
  };
  const Case cases[] = {
      {{{"window", 1}}, ": /window is unknown here: known are "},
      {{{"windows", {{{"calendar", "Sat 25:00"}, {"length-seconds", 1}}}}},
       ": /windows/0/calendar must be a calendar expression of systemd.time(7), as \"Sat "
       "02:00\": "},
      {{{"windows", {{{"calendar", "Sat"}, {"timezone", "Mars/Base"}, {"length-seconds", 1}}}}},
       ": /windows/0/calendar must be a calendar expression"},
      {{{"lock", {{"kind", "fleetlock"}, {"url", "https://f"}, {"ca", "/no/ca"}}}},
       ": /lock/ca must be a file that handover-fleet can read: /no/ca: No such file",
       1},
      {{{"lock", {{"kind", "fleetlock"}, {"url", "https://f"}, {"token-file", "/no/token"}}}},
       ": /lock/token-file must hold a token: Cannot open /no/token",
       1},
      {{{"lock", {{"kind", "fleetlock"}, {"url", "http://f"}, {"group", "a b"}}}},
       ": /lock/group must have letters"},
      {{{"health", {{"before", {{{"command", {"/no/check"}}}}}}}},
       ": /health/before/0/command must begin with a program that can be run: /no/check: ",
       1},
  };
  for (const auto& [config, expected, code] : cases) {
    const auto file = host.directory().write("bad.json", config.dump());
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"check", file}, {"run", "--config", file}}) {
      const auto said = run(arguments);
      EXPECT_EQ(said.code, code) << said.text;
      EXPECT_EQ(said.text.substr(0, 16 + file.size()), "handover-fleet: " + file);
      EXPECT_NE(said.text.find(expected), std::string::npos) << said.text;
      EXPECT_EQ(std::count(said.text.begin(), said.text.end(), '\n'), 1) << said.text;
    }
  }
  EXPECT_EQ(run({"check", host.directory().write("good.json", "{}")}).code, 0);
  EXPECT_EQ(run({"check", host.directory().path("none.json")}).code, 1);
}

TEST_F(Gate, CommandsSayWhenNoneRuns) {
  const auto said = run({"status"});
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.text.find("systemctl start handover-fleet"), std::string::npos) << said.text;
  EXPECT_EQ(run({"release"}).code, 1);
}

}  // namespace
}  // namespace handover::test

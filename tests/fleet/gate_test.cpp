// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-fleet as the gate of an emulated host: what it lets through, what it refuses before
// anybody is frozen, and what becomes of its slot.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>

#include "child_process.h"
#include "ctl.h"
#include "etcd_process.h"
#include "fleet/lock.h"
#include "fleet/pause.h"
#include "fleet/window.h"
#include "host.h"
#include "server_process.h"

namespace handover::test {
namespace {

using nlohmann::json;

struct Said {
  int code = -1;
  std::string text;  ///< stdout and stderr
};

class Gate : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    ScriptedClient::Setup setup;
    setup.name = "worker";
    host.add(setup);
    ASSERT_TRUE(host.start_clients());
  }
  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "---- the gate's log\n%s\n", text_of(log()).c_str());
    gate.reset();
  }

  [[nodiscard]] std::string log() const { return host.directory().path("fleet.log"); }
  [[nodiscard]] std::vector<std::string> environment() const {
    return {"DBUS_SYSTEM_BUS_ADDRESS=" + host.bus_address().text,
            "HANDOVER_PRIVATE_SOCKET=",
            "STATE_DIRECTORY=" + host.directory().path("fleet-state"),
            "RUNTIME_DIRECTORY=" + host.directory().path("fleet-run"),
            "HANDOVER_FLEET_STATUS=" + host.directory().path("fleet-run/status.json"),
            "no_proxy=*"};
  }
  void start(const json& config) {
    configuration = host.directory().write("fleet.json", config.dump());
    mkdir(host.directory().path("fleet-state").c_str(), 0755);
    mkdir(host.directory().path("fleet-run").c_str(), 0755);
    start_again();
  }
  /// `kill -9` of the process, if it runs; what it left on disk stays.
  void start_again() {
    gate.reset();
    ChildProcess::Setup setup;
    setup.argv = {HANDOVER_FLEET_PROGRAM, "run", "--config", configuration};
    setup.environment = environment();
    setup.log = log();
    gate.emplace(host.loop(), setup, [](int) {});
    // The daemon has seen the last one go.
    ASSERT_TRUE(host.run_until([&] { return is_connected() && !status().empty(); }));
    host.observer().clear();
  }
  [[nodiscard]] bool is_connected() {
    for (const auto& client : host.list_clients()) {
      if (client.name == "fleet") return !client.bus_name.empty() && client.bus_name != last_name;
    }
    return false;
  }
  [[nodiscard]] json status() const {
    const auto text = text_of(host.directory().path("fleet-run/status.json"));
    auto document = json::parse(text, nullptr, false);
    return document.is_object() ? document : json::object();
  }
  [[nodiscard]] bool comes_to(const std::string& phase) {
    return host.run_until([&] { return status().value("phase", "") == phase; });
  }
  /// The command line, as a person uses it; the host goes on meanwhile.
  Said run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), HANDOVER_FLEET_PROGRAM);
    return run_program(arguments);
  }
  Said run_program(const std::vector<std::string>& arguments) {
    const auto file = host.directory().path("command.log");
    std::remove(file.c_str());
    std::optional<int> ended;
    ChildProcess::Setup setup;
    setup.argv = arguments;
    setup.environment = environment();
    setup.log = file;
    const ChildProcess process(host.loop(), setup, [&](int how) { ended = how; });
    EXPECT_TRUE(host.run_until([&] { return ended.has_value(); }));
    return {ended && WIFEXITED(*ended) ? WEXITSTATUS(*ended) : -1, text_of(file)};
  }
  /// It ends before anybody is frozen.
  std::string refused_update() {
    host.observer().clear();
    EXPECT_TRUE(host.update().error.empty());
    const auto end = host.finished();
    EXPECT_EQ(end.outcome, "failed");
    for (const auto& state : host.observer().states()) EXPECT_NE(state, "freezing");
    host.expect_calm();
    return end.reason;
  }

  Host host;
  std::string configuration, last_name;
  std::optional<ChildProcess> gate;
};

/// What `date` says of a time so many seconds from now, in the host's time zone.
std::string in_seconds(int seconds) {
  const auto at = time(nullptr) + seconds;
  std::array<char, 64> text = {};
  tm parts = {};
  gmtime_r(&at, &parts);
  strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

json fleetlock(const FleetLockServer& server) {
  return {{"kind", "fleetlock"}, {"url", server.url()}, {"group", "web"},
          {"id", "me"},          {"proxy", "none"},     {"timeout-seconds", 5}};
}

TEST_F(Gate, WithoutAnythingConfiguredLetsThrough) {
  start(json::object());
  host.update_ends("done");
  EXPECT_TRUE(comes_to("idle"));
  // It has nothing that stands still, and says so.
  const auto record = host.history().front();
  const auto times = record.at("timeline").at("clients").at("fleet");
  EXPECT_FALSE(times.contains("blackout_usec")) << times.dump();
}

TEST_F(Gate, OutsideItsWindowNothingIsFrozen) {
  start({{"windows", {{{"calendar", "2099-01-03 02:00 UTC"}, {"length-seconds", 3600}}}}});
  EXPECT_EQ(refused_update(),
            "Client 'fleet', Prepare: No maintenance window is open; the next one opens at "
            "2099-01-03T02:00:00Z.");
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(status()["window"]["opens"], "2099-01-03T02:00:00Z");
  EXPECT_EQ(status()["window"]["open"], false);
  const auto said = run({"status"});
  EXPECT_EQ(said.code, 0);
  EXPECT_NE(said.text.find("window  closed, the next opens 2099-01-03T02:00:00Z"),
            std::string::npos)
      << said.text;
}

TEST_F(Gate, FromPreparedAnUpdateThatWouldEndTooLateIsNotFrozen) {
  start({{"windows", {{{"calendar", in_seconds(-60)}, {"length-seconds", 90}}}},
         {"must-end-within", true},
         {"expected-seconds", 5}});
  ASSERT_TRUE(host.prepare().error.empty());
  ASSERT_TRUE(host.reaches("prepared"));
  // The window is open for a while yet, but not for as long as an update takes.
  const auto closes = fleet::parse_utc(status()["window"]["closes"].get<std::string>());
  ASSERT_TRUE(closes);
  ASSERT_TRUE(host.run_until([&] { return fleet::wall_clock_usec() + 4'000'000 > *closes; }));
  ASSERT_TRUE(host.update().error.empty());
  const auto end = host.finished();
  EXPECT_NE(end.reason.find("and an update takes 5 s"), std::string::npos) << end.reason;
  EXPECT_EQ(host.generation(), 0U);
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

TEST_F(Gate, AClockThatIsWrongIsAVetoWhereThereAreWindows) {
  FleetLockServer server;
  server.start();
  server.behave({{"clock", 3600}});
  start({{"lock", fleetlock(server)},
         {"windows", {{{"calendar", in_seconds(-60)}, {"length-seconds", 3600}}}}});
  const auto reason = refused_update();
  EXPECT_NE(reason.find("s behind that of the lock's server"), std::string::npos) << reason;
  ASSERT_TRUE(comes_to("idle"));
  EXPECT_EQ(server.holder("web"), "");
  server.behave(json::object());
  host.update_ends("done");
  EXPECT_TRUE(comes_to("idle"));
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

TEST_F(Gate, HandoverctlWaitsForTheWindow) {
  start({{"windows", {{{"calendar", in_seconds(8)}, {"length-seconds", 3600}}}}});
  EXPECT_NE(refused_update().find("No maintenance window is open"), std::string::npos);
  const auto updated = run_program({HANDOVERCTL_PROGRAM, "update", "--wait-for-window"});
  EXPECT_EQ(updated.code, 0) << updated.text;
  EXPECT_NE(updated.text.find("Waiting for the maintenance window that opens at"),
            std::string::npos)
      << updated.text;
  EXPECT_EQ(host.history().front().at("outcome"), "done");
}

TEST_F(Gate, HandoverctlWaitsOverAStartOfTheGate) {
  start({{"windows", {{{"calendar", in_seconds(20)}, {"length-seconds", 3600}}}}});
  ASSERT_TRUE(host.run_until([&] { return status()["window"]["open"] == false; }));
  const auto file = host.directory().path("waits.log");
  std::optional<int> ended;
  ChildProcess::Setup setup;
  setup.argv = {HANDOVERCTL_PROGRAM, "update", "--wait-for-window"};
  setup.environment = environment();
  setup.log = file;
  const ChildProcess process(host.loop(), setup, [&](int how) { ended = how; });
  ASSERT_TRUE(host.run_until([&] { return text_of(file).find("Waiting") != std::string::npos; }));
  // It ends in order, and takes its file away; then one is killed, and leaves it.
  gate->signal(SIGTERM);
  ASSERT_TRUE(host.run_until([&] { return status().empty(); }));
  const auto until = fleet::now_usec() + 1'000'000;
  ASSERT_TRUE(host.run_until([&] { return fleet::now_usec() > until; }));
  EXPECT_EQ(ended, std::nullopt) << text_of(file);
  start_again();
  gate->signal(SIGKILL);
  start_again();
  ASSERT_TRUE(host.run_until([&] { return ended.has_value(); }));
  ASSERT_TRUE(WIFEXITED(*ended) && WEXITSTATUS(*ended) == 0) << text_of(file);
  EXPECT_EQ(host.history().front().at("outcome"), "done");
}

TEST_F(Gate, HandoverctlDoesNotWaitWhereNobodyKnowsAWindow) {
  const auto refused = run_program({HANDOVERCTL_PROGRAM, "update", "--wait-for-window"});
  EXPECT_EQ(refused.code, 6);
  EXPECT_EQ(refused.text,
            "handoverctl: No maintenance window to wait for: handover-fleet does not run here; "
            "start it, or leave --wait-for-window out.\n");
  EXPECT_EQ(host.generation(), 0U);
}

TEST_F(Gate, CommandsSayWhenNoneRuns) {
  const auto said = run({"status"});
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.text.find("systemctl start handover-fleet"), std::string::npos) << said.text;
  EXPECT_EQ(run({"release"}).code, 1);
}

}  // namespace
}  // namespace handover::test

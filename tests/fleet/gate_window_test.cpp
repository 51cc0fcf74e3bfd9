// SPDX-License-Identifier: LGPL-2.1-or-later
// The gate's windows on an emulated host, and who waits for them.
#include <gtest/gtest.h>

#include <csignal>
#include <optional>

#include "fleet/pause.h"
#include "fleet/window.h"
#include "gate_fixture.h"

namespace handover::test {
namespace {

using nlohmann::json;

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

}  // namespace
}  // namespace handover::test

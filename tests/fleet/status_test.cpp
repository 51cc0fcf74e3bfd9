// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fleet/status.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fleet/people.h"

namespace handover::fleet {
namespace {

using nlohmann::json;

TEST(FleetStatus, BeforeAnythingIsKnown) {
  const auto document = json::parse(to_json(Status{}, Lock{}));
  EXPECT_EQ(document["phase"], "idle");
  EXPECT_EQ(document["lock"]["kind"], "none");
  EXPECT_EQ(document["lock"]["held"], false);
  EXPECT_TRUE(document["window"]["open"].is_null());
  EXPECT_TRUE(document["health"]["after"]["result"].is_null());
  EXPECT_EQ(to_lines(document),
            "phase   idle\nlock    none\nwindow  not looked at yet\nhealth  not checked yet\n");
}

TEST(FleetStatus, OfASlotThatIsKept) {
  Lock lock;
  lock.kind = LockKind::etcd;
  lock.group = "web";
  lock.slots = 3;
  Status status;
  status.turn.phase = Phase::kept;
  status.turn.slot = 1;
  status.turn.reason = "unit nginx.service is failed";
  status.turn.claim.since = "2026-12-01T04:00:00Z";
  status.window = WindowState{true, std::nullopt, parse_utc("2026-12-05T01:00:00Z")};
  status.after = HealthNote{"unit nginx.service is failed", "2026-12-01T04:01:00Z"};
  status.server_answers = false;
  status.server_failure = "etcd cannot be asked.";
  status.veto = "No maintenance window is open.";
  status.veto_at = "2026-12-01T04:02:00Z";
  const auto document = json::parse(to_json(status, lock));
  EXPECT_EQ(document["lock"]["held"], true);
  EXPECT_EQ(document["lock"]["slot"], 1);
  EXPECT_EQ(document["window"]["opens"], "2026-12-05T01:00:00Z");
  EXPECT_EQ(document["health"]["after"]["result"], "failed");
  EXPECT_EQ(to_lines(document),
            "phase   kept: unit nginx.service is failed\n"
            "lock    etcd, group web, slot 1 held since 2026-12-01T04:00:00Z\n"
            "        etcd cannot be asked.\n"
            "window  closed, the next opens 2026-12-05T01:00:00Z\n"
            "health  after the update: failed at 2026-12-01T04:01:00Z: unit nginx.service is "
            "failed\n"
            "veto    No maintenance window is open. (2026-12-01T04:02:00Z)\n");
}

TEST(People, OnlyWhoBlocksAShutdownIsRespected) {
  const Inhibitor delays{"shutdown:sleep", "NetworkManager", "needs time", "delay", 0, 1};
  const Inhibitor sleeps{"sleep:idle", "Player", "plays", "block", 1000, 2};
  const Inhibitor blocks{"idle:shutdown", "apt", "installs\npackages.", "block", 0, 42};
  EXPECT_EQ(inhibitor_veto({}), "");
  const Inhibitor ours{"shutdown:sleep", "handoverd", "A live update", "block", 0, 3};
  EXPECT_EQ(inhibitor_veto({delays, sleeps, ours}), "");
  EXPECT_EQ(inhibitor_veto({delays, sleeps, blocks}),
            "'apt' (process 42) inhibits a shutdown: installs packages; see 'systemd-inhibit "
            "--list'.");
}

}  // namespace
}  // namespace handover::fleet

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fleet/fleetlock.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace handover::fleet {
namespace {

using Call = FleetLockCall;
using Kind = LockOutcome::Kind;

TEST(FleetLock, SaysWhatTheProtocolSays) {
  const auto request = fleetlock_request(Call::pre_reboot, "web", "id1");
  EXPECT_EQ(request.path, "/v1/pre-reboot");
  EXPECT_TRUE(request.fleet_lock);
  EXPECT_EQ(nlohmann::json::parse(request.body),
            nlohmann::json::parse(R"({"client_params": {"group": "web", "id": "id1"}})"));
  EXPECT_EQ(fleetlock_request(Call::steady_state, "web", "id1").path, "/v1/steady-state");
}

TEST(FleetLock, EachAnswerOfEachCall) {
  struct Case {
    int status;
    bool sent;
    const char* body;
    Kind pre_reboot, steady_state;
  };
  constexpr const char* no = R"({"kind": "failed_lock", "value": "taken"})";
  const Case cases[] = {
      {200, true, "", Kind::held, Kind::free},
      {204, true, "", Kind::held, Kind::free},
      {400, true, no, Kind::refused, Kind::uncertain},
      {404, true, no, Kind::refused, Kind::uncertain},
      {409, true, no, Kind::refused, Kind::uncertain},
      {301, true, no, Kind::uncertain, Kind::uncertain},
      {408, true, no, Kind::uncertain, Kind::uncertain},
      {500, true, no, Kind::uncertain, Kind::uncertain},
      {503, true, no, Kind::uncertain, Kind::uncertain},
      // Somebody on the way, who may have handed it on.
      {404, true, "<html>", Kind::uncertain, Kind::uncertain},
      {409, true, "", Kind::uncertain, Kind::uncertain},
      {429, true, R"({"kind": "busy"})", Kind::uncertain, Kind::uncertain},
      {429, true, R"({"value": "slow down"})", Kind::uncertain, Kind::uncertain},
      {0, true, "", Kind::uncertain, Kind::uncertain},
      {0, false, "", Kind::untouched, Kind::untouched},
  };
  for (const auto& one : cases) {
    Reply reply;
    reply.status = one.status;
    reply.sent = one.sent;
    reply.body = one.body;
    EXPECT_EQ(fleetlock_outcome(Call::pre_reboot, reply, "u").kind, one.pre_reboot) << one.status;
    EXPECT_EQ(fleetlock_outcome(Call::steady_state, reply, "u").kind, one.steady_state)
        << one.status;
  }
}

TEST(FleetLock, ShowsKindAndValue) {
  Reply reply;
  reply.status = 409;
  reply.body = R"({"kind": "failed_lock", "value": "all slots\nare taken."})";
  EXPECT_EQ(fleetlock_outcome(Call::pre_reboot, reply, "http://f").message,
            "The lock's server http://f refused /v1/pre-reboot with HTTP status 409 (failed_lock): "
            "all slots are taken.");
  for (const char* odd : {"", "<html>", "[]", R"({"kind": 3})"}) {
    reply.body = odd;
    EXPECT_EQ(fleetlock_outcome(Call::pre_reboot, reply, "http://f").message,
              "The lock's server http://f refused /v1/pre-reboot with HTTP status 409.");
  }
}

}  // namespace
}  // namespace handover::fleet

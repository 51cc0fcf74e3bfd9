// SPDX-License-Identifier: LGPL-2.1-or-later
// A daemon that comes back without what its clients had preserved: no update goes without it until
// they have preserved it anew.
#include <gtest/gtest.h>

#include <cerrno>

#include "core/finding.h"
#include "world_test.h"

namespace handover::engine::test {
namespace {

class LostSessionTest : public WorldTest {
 protected:
  /// Neither the kernel nor PID 1 has a session any more, and the clients do not come back yet.
  void lose_all() {
    for (auto* client : {&disk(), &guest()}) client->registers_again(false);
    world.kill_daemon();
    world.machine.fd_store.clear();
    ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
    world.settle();
    ASSERT_TRUE(world.announced.told_loss("disk", "disk"));
  }
  void comes_back(FakeClient& client) {
    client.registers_again(true);
    client.daemon_came();
    world.settle();
  }
  std::vector<std::string> found() {
    std::vector<std::string> ids;
    bool answered = false;
    world.call([&](Engine& engine) {
      engine.preflight({}, [&](const Result<std::vector<Finding>>& findings) {
        answered = true;
        ASSERT_TRUE(findings);
        for (const auto& finding : *findings) {
          if (finding.id == FindingId::session_lost) ids.push_back(finding.message);
        }
      });
    });
    EXPECT_TRUE(world.run_until([&] { return answered; }));
    return ids;
  }
};

TEST_F(LostSessionTest, IsInTheWayOfAnUpdateByItsName) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(lose_all());
  const auto refused = world.update();
  EXPECT_NE(refused.find("session 'disk' was lost, and client 'disk'"), std::string::npos)
      << refused;
  EXPECT_EQ(calls(), Strings{});
  EXPECT_EQ(found().size(), 2U);
}

TEST_F(LostSessionTest, IsInTheWayUntilItIsPreservedAnew) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(lose_all());
  comes_back(disk());
  const auto left = found();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_NE(left.front().find("'guest'"), std::string::npos) << left.front();
  comes_back(guest());
  EXPECT_TRUE(found().empty());
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

/// The name alone carries nothing.
TEST_F(LostSessionTest, IsNotPreservedByAnEmptyOne) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(lose_all());
  world.call([&](Engine& engine) {
    engine.create_session("disk", std::nullopt, "disk", disk().caller(),
                          [](const Result<void>& done) { EXPECT_TRUE(done); });
  });
  world.settle();
  EXPECT_EQ(found().size(), 2U);
  EXPECT_TRUE(world.preserve(disk(), "disk", 9));
  EXPECT_EQ(found().size(), 1U);
}

TEST_F(LostSessionTest, AnotherDeathOfTheDaemonChangesNothing) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(lose_all());
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  world.settle();
  EXPECT_EQ(found().size(), 2U);
}

TEST_F(LostSessionTest, OfAnOptionalClientIsToldAndNoMore) {
  world.client("disk").preserves("disk", {1});
  world.client("guest").optional().preserves("guest", {1});
  world.boot();
  ASSERT_NO_FATAL_FAILURE(lose_all());
  EXPECT_TRUE(world.announced.told_loss("guest", "guest"));
  EXPECT_EQ(found().size(), 1U);
}

TEST_F(LostSessionTest, GoesWithItsClient) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(lose_all());
  disk().leave();
  guest().leave();
  world.settle();
  EXPECT_TRUE(world.engine().clients().empty());
  EXPECT_TRUE(found().empty());
  EXPECT_EQ(world.update(), "done");
}

TEST_F(LostSessionTest, IsOverruledByName) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(lose_all());
  UpdateOptions options;
  options.allow = {FindingId::session_lost};
  EXPECT_EQ(world.update(options), "done");
  EXPECT_NE(newest().overruled.find("session-lost"), std::string::npos) << newest().overruled;
}

/// One descriptor that the kernel does not take back.
TEST_F(LostSessionTest, PartOfOneIsNamedByItsToken) {
  world.client("disk").preserves("disk", {1, 2, 3});
  world.boot();
  world.kernel->refuse_preserve("disk", 1, EINVAL);
  bool answered = false;
  world.call([&](Engine& engine) {
    engine.unpreserve("disk", 2, disk().caller(), [&](const Result<void>&) { answered = true; });
  });
  ASSERT_TRUE(world.run_until([&] { return answered; }));
  ASSERT_TRUE(world.announced.told_loss("disk", "disk"));
  const auto left = found();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_NE(left.front().find("token 1 of session 'disk'"), std::string::npos) << left.front();
  world.kernel->refuse_preserve("disk", 1, 0);
  EXPECT_TRUE(world.run_until([&] { return found().empty(); }, 30 * World::second));
}

/// Its client is not back yet, and is waited for as one that has left something.
TEST_F(LostSessionTest, OfADirectConnectionKeepsItsClientOnRecord) {
  world.client("disk").direct().preserves("disk", {1});
  world.boot();
  disk().registers_again(false);
  world.kill_daemon();
  world.machine.fd_store.clear();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  world.settle();
  EXPECT_TRUE(world.engine().clients().contains("disk"));
  const auto refused = world.update();
  EXPECT_NE(refused.find("'disk' is required and not there"), std::string::npos) << refused;
  EXPECT_NE(world.update().find("refused"), std::string::npos) << "a second try goes without it";
}

}  // namespace
}  // namespace handover::engine::test

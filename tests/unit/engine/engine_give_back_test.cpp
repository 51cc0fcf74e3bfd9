// SPDX-License-Identifier: LGPL-2.1-or-later
// What a client preserved is given back to it in the same kernel: its process may have died.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <optional>

#include "world_test.h"

namespace handover::engine::test {
namespace {

ino_t inode_of(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

class GiveBackTest : public WorldTest {
 protected:
  Result<UniqueFd> retrieve(std::uint64_t token, const Caller& caller) {
    auto answer = std::make_shared<std::optional<Result<UniqueFd>>>();
    world.call([&](Engine& engine) {
      engine.retrieve("disk", token, caller,
                      [answer](Result<UniqueFd> fd) { *answer = std::move(fd); });
    });
    (void)world.run_until([&] { return answer->has_value(); }, World::second);
    return answer->has_value() ? std::move(**answer)
                               : fail(ErrorCode::internal, "The daemon has not answered.");
  }
  void expect_given(std::uint64_t token) {
    const auto given = retrieve(token, disk().caller());
    ASSERT_TRUE(given) << given.error().message;
    const auto held = world.engine().sessions().find("disk")->kernel->duplicate(token);
    ASSERT_TRUE(held);
    EXPECT_NE(inode_of(given->get()), 0U);
    EXPECT_EQ(inode_of(given->get()), inode_of(held->get()));
  }
  void expect_refused(const Result<UniqueFd>& given, ErrorCode code) {
    ASSERT_FALSE(given);
    EXPECT_EQ(given.error().code, code) << given.error().message;
  }
};

TEST_F(GiveBackTest, ItsOwnerHasItAgainAndItStaysPreserved) {
  boot_two();
  expect_given(1);
  expect_given(1);
  expect_given(2);
  const auto& record = world.engine().sessions().find("disk")->record;
  ASSERT_EQ(record.tokens.size(), 2U);
  EXPECT_FALSE(record.tokens[0].retrieved) << "nothing of an earlier kernel's was claimed";
  EXPECT_EQ(world.update(), "done");
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
}

TEST_F(GiveBackTest, AfterACrashOfTheDaemonToo) {
  boot_two();
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready() && disk().content(); }));
  expect_given(1);
  expect_all_is_well(world);
}

TEST_F(GiveBackTest, NobodyElseHasIt) {
  boot_two();
  auto other = disk().caller();
  other.owner.uid = 1234;
  expect_refused(retrieve(1, other), ErrorCode::access_denied);
  expect_refused(retrieve(3, disk().caller()), ErrorCode::no_such_token);
  expect_all_is_well(world);
}

/// Who has it could write into what is about to leave this kernel.
TEST_F(GiveBackTest, NotWhileAnUpdateStandsStill) {
  boot_two();
  world.keep_frozen();
  ASSERT_TRUE(world.update_until(State::frozen));
  expect_refused(retrieve(1, disk().caller()), ErrorCode::busy);
  world.let_go();
  EXPECT_EQ(world.outcome(), "done");
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

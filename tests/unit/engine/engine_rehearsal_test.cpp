// SPDX-License-Identifier: LGPL-2.1-or-later
// A rehearsal: all of an update up to the reboot call, then everybody is thawed and stays prepared.
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "support/sanitized.h"
#include "world_test.h"

namespace handover::engine::test {
namespace {

class RehearsalTest : public WorldTest {
 protected:
  void boot_with_optional_guest() {
    world.client("disk").preserves("disk", {1});
    world.client("guest").optional().preserves("guest", {1});
    world.boot();
  }
  /// Until it is over: its outcome, or the error that refused it.
  std::string rehearse(const UpdateOptions& options = {}) {
    const auto finished = world.announced.finished.size();
    const auto job = world.request(JobType::rehearse, options);
    if (!job) return "refused: " + job.error().message;
    world.run_until([&] { return world.announced.finished.size() > finished; });
    world.settle();
    return world.announced.finished.size() > finished ? world.announced.finished.back().outcome
                                                      : "";
  }
  static UpdateOptions at_most(std::uint64_t usec) {
    UpdateOptions options;
    options.at_most_usec = usec;
    return options;
  }
};

TEST_F(RehearsalTest, FreezesAndThawsForReal) {
  boot_two();
  disk().takes(ClientCall::freeze, World::second / 10);
  EXPECT_EQ(rehearse(), "rehearsed");
  EXPECT_EQ(calls(), (Strings{"Prepare disk", "Prepare guest", "Freeze guest", "Freeze disk",
                              "Thaw disk", "Thaw guest"}));
  EXPECT_EQ(world.kernels, 1U);
  EXPECT_EQ(world.engine().state(), State::prepared);
  EXPECT_TRUE(disk().runs());
  EXPECT_TRUE(guest().runs());
  EXPECT_FALSE(world.engine().job());
  EXPECT_TRUE(world.machine.target_loaded);
  EXPECT_FALSE(world.machine.state.has("pending.json"));
  const auto record = newest();
  EXPECT_EQ(record.outcome, Outcome::rehearsed);
  EXPECT_EQ(record.reason, "");
  ASSERT_TRUE(record.rehearsal);
  EXPECT_FALSE(record.rehearsal->estimate_usec) << "no update was made whose boot is known";
  EXPECT_FALSE(record.rehearsal->not_rehearsed.empty());
  // guest stood still while disk froze.
  const auto longest_standstill = longest(record.timeline);
  ASSERT_TRUE(longest_standstill);
  EXPECT_EQ(longest_standstill->client, "guest");
  EXPECT_GE(longest_standstill->usec, World::second / 10);
  EXPECT_TRUE(record.timeline.marks.contains(Mark::sealed));
  EXPECT_TRUE(record.timeline.marks.contains(Mark::thawed));
  EXPECT_FALSE(record.timeline.marks.contains(Mark::kexec_called));
}

TEST_F(RehearsalTest, UpdateGoesOnWithoutPreparingAgain) {
  boot_two();
  EXPECT_EQ(rehearse(), "rehearsed");
  const auto rehearsal = newest().id;
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.kernels, 2U);
  EXPECT_EQ(world.announced.count("Prepare disk"), 1U);
  EXPECT_EQ(world.announced.count("Prepare guest"), 1U);
  EXPECT_EQ(world.announced.count("Freeze guest"), 2U);
  expect_all_is_well(world);
  EXPECT_GT(newest().id, rehearsal);
  EXPECT_FALSE(newest().rehearsal);
  EXPECT_EQ(world.history().size(), 2U);
  // Standstills of the rehearsal are none of the update's.
  EXPECT_TRUE(newest().timeline.clients.at("guest").prepare_usec);
}

TEST_F(RehearsalTest, EstimatesTheBlackoutFromTheLastUpdatesBoot) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  const auto update = newest();
  expect_all_is_well(world);
  EXPECT_EQ(rehearse(), "rehearsed");
  const auto record = newest();
  ASSERT_TRUE(record.rehearsal && record.rehearsal->estimate_usec);
  EXPECT_EQ(record.rehearsal->estimate_from, update.id);
  EXPECT_GT(*record.rehearsal->estimate_usec, blackout_usec(record.timeline).value());
}

TEST_F(RehearsalTest, MayBeRepeated) {
  boot_two();
  EXPECT_EQ(rehearse(), "rehearsed");
  EXPECT_EQ(rehearse(), "rehearsed");
  EXPECT_EQ(world.announced.count("Prepare disk"), 1U);
  EXPECT_EQ(world.announced.count("Thaw disk"), 2U);
  EXPECT_EQ(world.history().size(), 2U);
}

TEST_F(RehearsalTest, GoesOnFromAPlainPrepare) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  EXPECT_EQ(rehearse(), "rehearsed");
  EXPECT_EQ(world.announced.count("Prepare disk"), 1U);
}

TEST_F(RehearsalTest, CancelUndoesWhatStaysPrepared) {
  boot_two();
  EXPECT_EQ(rehearse(), "rehearsed");
  ASSERT_TRUE(world.cancel());
  EXPECT_EQ(world.outcome(), "cancelled");
  EXPECT_EQ(world.announced.count("Cancel disk"), 1U);
  EXPECT_EQ(world.announced.count("Cancel guest"), 1U);
  EXPECT_FALSE(world.machine.target_loaded);
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, OrderlyPutsTheDescriptorsBack) {
  boot_two();
  EXPECT_EQ(rehearse(orderly()), "rehearsed");
  EXPECT_FALSE(world.pid_one.kexec_job);
  ASSERT_TRUE(world.cancel());
  EXPECT_EQ(world.outcome(), "cancelled");
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, VetoUndoesItAsAnUpdate) {
  boot_two();
  disk().does(ClientCall::freeze, Does::veto);
  EXPECT_EQ(rehearse(), "failed");
  EXPECT_NE(world.reason().find("disk"), std::string::npos) << world.reason();
  EXPECT_TRUE(newest().rehearsal);
  EXPECT_EQ(world.engine().state(), State::normal);
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, IsCancelledInItsFreeze) {
  boot_two();
  world.keep_frozen();
  ASSERT_TRUE(world.request(JobType::rehearse));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::frozen; }));
  ASSERT_TRUE(world.cancel());
  world.let_go();
  EXPECT_EQ(world.outcome(), "cancelled");
  EXPECT_EQ(world.engine().state(), State::normal);
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, EndsWhenTheLimitIsOver) {
  boot_two();
  disk().takes(ClientCall::freeze, 4 * World::second);
  const auto before = world.machine.clock.now_usec();
  EXPECT_EQ(rehearse(at_most(World::second / 2)), "failed");
  EXPECT_NE(world.reason().find("'disk'"), std::string::npos) << world.reason();
  EXPECT_NE(world.reason().find("500 ms"), std::string::npos) << world.reason();
  EXPECT_EQ(newest().client, "disk");
  EXPECT_LT(longest(newest().timeline).value().usec, World::second);
  EXPECT_LT(world.machine.clock.now_usec() - before, 10 * World::second);
  expect_all_is_well(world);
}

/// Each call has the rehearsal's limit: whichever of the two is over first, the reason is the same.
TEST_F(RehearsalTest, NamesItsLimitWhoeverIsWaitedFor) {
  boot_with_optional_guest();
  guest().does(ClientCall::freeze, Does::nothing);
  EXPECT_EQ(rehearse(at_most(World::second / 100)), "failed");
  EXPECT_NE(world.reason().find("longer than was asked for (10 ms); it waited for client 'guest'"),
            std::string::npos)
      << world.reason();
  EXPECT_EQ(newest().client, "guest");
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, NamesWhoStoodStillForTooLongInTheThaw) {
  boot_two();
  disk().takes(ClientCall::freeze, World::second / 10);  // guest stands still before it
  disk().takes(ClientCall::thaw, 2 * World::second);
  EXPECT_EQ(rehearse(at_most(World::second)), "failed");
  EXPECT_NE(world.reason().find("'guest' stood still for"), std::string::npos) << world.reason();
  EXPECT_EQ(newest().client, "guest");
  EXPECT_EQ(world.engine().state(), State::normal);
  // What stayed prepared is told that no update comes.
  EXPECT_EQ(world.announced.count("Cancel disk"), 1U);
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, ALimitThatIsKeptIsOnRecord) {
  boot_two();
  EXPECT_EQ(rehearse(at_most(5 * World::second)), "rehearsed");
  EXPECT_EQ(newest().rehearsal.value().at_most_usec, 5 * World::second);
}

TEST_F(RehearsalTest, SlowDiskIsNotWaitedForBeyondTheLimit) {
  boot_two();
  EXPECT_EQ(rehearse(), "rehearsed");
  world.machine.sync_takes_usec = World::second;
  disk().takes(ClientCall::freeze, World::second / 50);
  EXPECT_EQ(rehearse(at_most(World::second / 20)), "rehearsed");
  EXPECT_LE(longest(newest().timeline).value().usec, World::second / 20);
}

TEST_F(RehearsalTest, WhoDoesNotThawEndsIt) {
  boot_two();
  guest().always(ClientCall::thaw, Does::veto);
  EXPECT_EQ(rehearse(), "failed");
  EXPECT_NE(world.reason().find("guest"), std::string::npos) << world.reason();
  guest().always(ClientCall::thaw, Does::answer);
  expect_all_is_well(world);
  EXPECT_EQ(world.update(), "done");
}

TEST_F(RehearsalTest, WhoIsOptionalAndDoesNotThawIsLeftOut) {
  boot_with_optional_guest();
  guest().always(ClientCall::thaw, Does::veto);
  EXPECT_EQ(rehearse(), "rehearsed");
  ASSERT_EQ(newest().left_out.size(), 1U);
  EXPECT_EQ(newest().left_out.front().client, "guest");
  // The next process of the daemon owes it, too.
  world.kill_daemon();
  guest().registers_again(false);
  guest().always(ClientCall::thaw, Does::answer);
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  EXPECT_TRUE(world.run_until([&] { return guest().runs(); }, 60 * World::second));
}

TEST_F(RehearsalTest, WhoDidNotThawIsCarriedOnceItIsPreparedAgain) {
  boot_with_optional_guest();
  guest().always(ClientCall::thaw, Does::veto);
  EXPECT_EQ(rehearse(), "rehearsed");
  ASSERT_EQ(newest().left_out.size(), 1U);
  guest().always(ClientCall::thaw, Does::answer);
  ASSERT_TRUE(world.run_until([&] { return guest().runs(); }, 60 * World::second));
  EXPECT_EQ(world.update(), "done");
  EXPECT_TRUE(newest().left_out.empty());
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, WhoStillStandsIsCountedByTheLimit) {
  boot_with_optional_guest();
  guest().does(ClientCall::thaw, Does::nothing, 1);
  EXPECT_EQ(rehearse(at_most(World::second)), "failed");
  EXPECT_NE(world.reason().find("'guest' stood still for"), std::string::npos) << world.reason();
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, WhoLeavesAfterItsThawEndsIt) {
  boot_two();
  guest().takes(ClientCall::thaw, World::second);
  ASSERT_TRUE(world.request(JobType::rehearse));
  ASSERT_TRUE(
      world.run_until([&] { return world.engine().state() == State::thawing && disk().runs(); }));
  world.run_for(World::second / 10);
  disk().leave();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("'disk'"), std::string::npos) << world.reason();
  disk().start();
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, CancelInItsThawIsNotLost) {
  boot_two();
  guest().takes(ClientCall::thaw, World::second);
  ASSERT_TRUE(world.request(JobType::rehearse));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::thawing; }));
  ASSERT_TRUE(world.cancel());
  EXPECT_EQ(world.outcome(), "cancelled");
  EXPECT_EQ(world.engine().state(), State::normal);
  EXPECT_EQ(world.announced.count("Cancel guest"), 1U);
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, WhoLeavesInTheThawEndsIt) {
  boot_two();
  guest().does(ClientCall::thaw, Does::leave);
  EXPECT_EQ(rehearse(), "failed");
  EXPECT_NE(world.reason().find("guest"), std::string::npos) << world.reason();
  guest().start();
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, WhoWasLeftOutIsPreparedForTheUpdate) {
  boot_with_optional_guest();
  guest().does(ClientCall::freeze, Does::veto);
  EXPECT_EQ(rehearse(), "rehearsed");
  ASSERT_EQ(newest().left_out.size(), 1U);
  EXPECT_EQ(world.update(), "done");
  EXPECT_TRUE(newest().left_out.empty());
  EXPECT_EQ(world.announced.count("Prepare guest"), 2U);
  EXPECT_EQ(world.announced.count("Prepare disk"), 1U);
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, ADaemonThatDiesInItThawsEverybody) {
  boot_two();
  world.keep_frozen();
  ASSERT_TRUE(world.request(JobType::rehearse));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::frozen; }));
  world.let_go();
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_TRUE(newest().rehearsal);
  expect_all_is_well(world);
  EXPECT_EQ(world.engine().state(), State::normal);
  EXPECT_EQ(world.update(), "done");
}

TEST_F(RehearsalTest, SigtermInTheThawUndoesIt) {
  boot_two();
  disk().takes(ClientCall::thaw, World::second);
  ASSERT_TRUE(world.request(JobType::rehearse));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::thawing; }));
  bool stopped = false;
  world.call([&](Engine& engine) { EXPECT_TRUE(engine.terminate([&] { stopped = true; })); });
  EXPECT_TRUE(world.run_until([&] { return stopped; }, 60 * World::second));
  EXPECT_EQ(world.engine().state(), State::normal);
  EXPECT_EQ(world.outcome(), "cancelled");
  expect_all_is_well(world);
}

TEST_F(RehearsalTest, CancelRightAfterItEndsTheNextOneOnly) {
  boot_two();
  const auto finished = world.announced.finished.size();
  ASSERT_TRUE(world.request(JobType::rehearse));
  // Its record is not written yet.
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::thawing; }));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  ASSERT_TRUE(world.cancel());
  EXPECT_EQ(world.outcome(), "cancelled");
  ASSERT_EQ(world.announced.finished.size(), finished + 2);
  EXPECT_EQ(world.announced.finished[finished].outcome, "rehearsed");
  EXPECT_EQ(world.announced.finished[finished + 1].outcome, "cancelled");
  expect_all_is_well(world);
}

/// Nobody announced it: the sessions are there all the same, and nobody was asked to stand still.
TEST_F(RehearsalTest, AKexecBesideItIsNotTakenForIts) {
  boot_two();
  EXPECT_EQ(rehearse(), "rehearsed");
  world.kexec_by_hand();
  EXPECT_TRUE(world.calm_down());
  EXPECT_EQ(newest().mode, Mode::external);
}

class RehearsalCrashTest : public testing::TestWithParam<Mode> {};

/// Wherever the daemon dies, everybody runs again, nothing is lost, and an update comes to its end.
TEST_P(RehearsalCrashTest, KilledAtEachEffect) {
  constexpr unsigned stride = handover::test::sanitized ? 3 : 1;
  for (std::uint64_t nth = 1;; nth += stride) {
    World world;
    world.config.mode = GetParam();
    world.client("disk").preserves("disk", {1, 2});
    world.client("guest").needs({"disk"}).preserves("guest", {1});
    world.boot();
    ASSERT_TRUE(world.calm_down());
    const auto before = world.machine.effects();
    world.machine.die_at(nth);
    (void)world.request(JobType::rehearse);
    (void)world.run_until([&] {
      return world.ready() &&
             (world.engine().state() == State::prepared ||
              world.engine().state() == State::normal) &&
             !world.engine().job();
    });
    world.settle();
    const bool died = world.machine.effects() - before >= nth;
    SCOPED_TRACE(std::to_string(nth) + ": " + world.machine.last_effect());
    world.machine.die_at(0);
    ASSERT_TRUE(world.run_until([&] { return world.ready(); }));
    EXPECT_EQ(world.kernels, 1U);
    EXPECT_TRUE(world.run_until([&] { return world.everybody_runs(); }));
    if (world.engine().state() == State::prepared) {
      (void)world.cancel();
    }
    expect_all_is_well(world);
    EXPECT_FALSE(world.lost_anything());
    if (HasFailure() || !died) {
      EXPECT_GT(nth, 10U);
      return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, RehearsalCrashTest, testing::Values(Mode::immediate, Mode::orderly),
                         [](const auto& mode) { return std::string(to_string(mode.param)); });

/// The kernel refuses each call of a rehearsal in turn.
TEST(RehearsalFaultTest, EachCallOfTheKernelFailsOnce) {
  for (int nth = 1; nth < 200; ++nth) {
    SCOPED_TRACE(nth);
    World world;
    world.client("disk").preserves("disk", {1, 2});
    world.client("guest").needs({"disk"}).preserves("guest", {1});
    world.boot();
    ASSERT_TRUE(world.calm_down());
    world.kernel->faults().fail_call(nth, ENOMEM);
    (void)world.request(JobType::rehearse);
    (void)world.run_until([&] {
      const auto state = world.engine().state();
      return (state == State::prepared || state == State::normal) && !world.engine().job();
    });
    const bool failed = world.kernel->faults().calls() >= nth;
    world.kernel->faults().none();
    EXPECT_TRUE(world.everybody_runs());
    if (world.engine().state() == State::prepared) {
      (void)world.cancel();
    }
    // What the kernel did not take is told lost, and is there again in the end.
    expect_all_is_well(world);
    if (HasFailure() || !failed) return;
  }
}

}  // namespace
}  // namespace handover::engine::test

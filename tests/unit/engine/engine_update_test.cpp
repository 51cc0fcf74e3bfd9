// SPDX-License-Identifier: LGPL-2.1-or-later
// Updates in which everybody does what he should.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "world_test.h"

namespace handover::engine::test {
namespace {

using UpdateTest = WorldTest;

TEST_F(UpdateTest, WithNobody) {
  world.boot();
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.kernels, 2U);
  EXPECT_EQ(world.engine().generation(), 1U);
  expect_all_is_well(world);
}

TEST_F(UpdateTest, CarriesEverybodysMemory) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.kernels, 2U);
  EXPECT_EQ(disk().registrations().back(), "restoring");
  EXPECT_TRUE(disk().restored_quiesced());
  EXPECT_FALSE(world.lost_anything());
  expect_all_is_well(world);
  EXPECT_TRUE(disk().carried().empty());
  EXPECT_EQ(disk().preserved().size(), 2U);  // again, for the next one
}

TEST_F(UpdateTest, CallsInOrderOfNeed) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(calls(), (Strings{"Prepare disk", "Prepare guest", "Freeze guest", "Freeze disk",
                              "Restore disk", "Restore guest"}));
}

TEST_F(UpdateTest, CallsThoseWhoDoNotNeedEachOtherAtOnce) {
  boot_two();
  world.client("clock");
  world.client("clock").start();
  world.settle();
  disk().takes(ClientCall::restore, World::second);
  guest().does(ClientCall::freeze, Does::nothing);
  ASSERT_TRUE(world.update_until(State::freezing));
  world.settle();
  EXPECT_EQ(world.client("clock").life(), Life::frozen);
  EXPECT_EQ(guest().life(), Life::running);
  EXPECT_EQ(disk().life(), Life::running);
  guest().answer_now();
  EXPECT_EQ(world.outcome(), "done");
  expect_order({"Restore clock", "Restore guest"});
  expect_all_is_well(world);
}

/// What those ask for who run already takes the CPU of those that stand still.
TEST_F(UpdateTest, WhoRunsMakesNewSessionsWhenTheOthersRun) {
  world.client("quick").preserves("quick", {1});
  world.client("slow").preserves("slow", {1});
  world.boot();
  auto& quick = world.client("quick");
  world.client("slow").takes(ClientCall::restore, World::second / 2);
  ASSERT_TRUE(world.update_until(State::restoring));
  const auto runs = [&] { return quick.runs() && quick.content(); };
  ASSERT_TRUE(world.run_until([&] { return quick.runs(); }));
  EXPECT_FALSE(world.run_until(runs, World::second / 4));
  ASSERT_TRUE(world.run_until(runs));
  EXPECT_TRUE(world.client("slow").runs());
  EXPECT_EQ(world.outcome(), "done");
  expect_all_is_well(world);
}

TEST_F(UpdateTest, WhoRunsDoesNotWaitForWhoDoesNotAnswer) {
  world.client("quick").preserves("quick", {1});
  world.client("silent").preserves("silent", {1});
  world.boot();
  auto& quick = world.client("quick");
  world.client("silent").does(ClientCall::restore, Does::nothing);
  ASSERT_TRUE(world.update_until(State::restoring));
  ASSERT_TRUE(world.run_until([&] { return quick.runs(); }));
  EXPECT_TRUE(world.run_until([&] { return quick.content(); }, 2 * World::second));
  EXPECT_EQ(world.engine().state(), State::restoring);
  world.client("silent").answer_now();
  EXPECT_EQ(world.outcome(), "done");
  expect_all_is_well(world);
}

TEST_F(UpdateTest, AgainAndAgain) {
  boot_two();
  for (std::uint64_t generation = 1; generation <= 4; ++generation) {
    EXPECT_EQ(world.update(), "done");
    EXPECT_EQ(world.engine().generation(), generation);
    expect_all_is_well(world);
  }
  EXPECT_EQ(world.history().size(), 4U);
}

TEST_F(UpdateTest, WithSeveralSessionsOfAClient) {
  world.client("a").preserves("a-1", {1}).preserves("a-2", {1, 2, 3});
  world.client("b").preserves("b-1", {1}).preserves("b-2", {9});
  world.boot();
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
  EXPECT_EQ(world.engine().sessions().all().size(), 4U);
}

TEST_F(UpdateTest, TellsWhenWhatHappened) {
  boot_two();
  guest().takes(ClientCall::restore, World::second / 2);
  EXPECT_EQ(world.update(), "done");
  const auto entry = newest();
  EXPECT_EQ(entry.outcome, Outcome::done);
  EXPECT_EQ(entry.mode, Mode::immediate);
  EXPECT_EQ(entry.from_release, "7.3.0-old");
  EXPECT_EQ(entry.to_release, "7.3.1-new");
  EXPECT_TRUE(entry.left_out.empty());
  for (const auto mark : all_values<Mark>()) {
    EXPECT_EQ(entry.timeline.marks.contains(mark), mark != Mark::thawed) << to_string(mark);
  }
  const auto& times = entry.timeline.clients.at("guest");
  EXPECT_TRUE(times.prepare_usec && times.freeze_usec && times.frozen_at && times.running_at);
  EXPECT_GE(times.restore_usec.value_or(0), World::second / 2);
}

TEST_F(UpdateTest, ItsJobTellsHowLongClientsStoodStill) {
  boot_two();
  guest().takes(ClientCall::restore, 2 * World::second);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.kernels == 2 && world.ready(); }));
  EXPECT_EQ(world.engine().job()->detail, "Waiting for clients.");
  ASSERT_TRUE(world.run_until([&] { return disk().runs(); }));
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Restore guest") == 1; }));
  const auto detail = world.engine().job()->detail;
  EXPECT_NE(detail.find("1 of 2 clients run again"), std::string::npos) << detail;
  EXPECT_NE(detail.find("(disk)"), std::string::npos) << detail;
  std::string last;
  world.before_step = [&] {
    if (world.ready() && world.engine().job()) last = world.engine().job()->detail;
  };
  EXPECT_EQ(world.outcome(), "done");
  world.before_step = nullptr;
  const auto entry = newest();
  EXPECT_EQ(longest(entry.timeline)->client, "guest");
  EXPECT_NE(last.find("2 of 2 clients run again"), std::string::npos) << last;
  EXPECT_NE(last.find("(guest)"), std::string::npos) << last;
  EXPECT_NE(last.find("(disk)"), std::string::npos) << last;
}

TEST_F(UpdateTest, StopsAtPreparedAndGoesOn) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  world.settle();
  EXPECT_FALSE(world.engine().job());
  EXPECT_EQ(world.kernels, 1U);
  EXPECT_TRUE(world.everybody_runs());
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.announced.count("Prepare disk"), 1U);
  EXPECT_EQ(world.machine.loads, 2U);  // what somebody else loaded meanwhile is not booted
  expect_all_is_well(world);
}

/// The word is the prepared kernel's by now: its path.
TEST_F(UpdateTest, GoesOnWithTheSameTargetHoweverItIsNamed) {
  for (const char* second : {"7.3.1-new", "newest", "/boot/vmlinuz-7.3.1-new", ""}) {
    World each;
    each.client("disk").preserves("disk", {1});
    each.boot();
    UpdateOptions options;
    options.kernel = "7.3.1-new";
    options.cmdline = "root=/dev/vda1";
    ASSERT_TRUE(each.request(JobType::prepare, options));
    ASSERT_TRUE(each.run_until([&] { return each.engine().state() == State::prepared; }));
    each.settle();
    options.kernel = second;
    EXPECT_EQ(each.update(options), "done") << second;
    EXPECT_EQ(each.announced.count("Prepare disk"), 1U) << second;
    expect_all_is_well(each);
  }
}

TEST_F(UpdateTest, PreparesAnotherTargetAnew) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  world.settle();
  UpdateOptions options;
  options.kernel = "/boot/another";
  EXPECT_EQ(world.update(options), "done");
  EXPECT_EQ(world.announced.count("Prepare disk"), 2U);
  expect_all_is_well(world);
}

TEST_F(UpdateTest, SyncsBeforeTheFreezeAlsoWhenItGoesOn) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  const auto before = world.machine.syncs;
  ASSERT_TRUE(world.update_until(State::freezing));
  EXPECT_GT(world.machine.syncs, before);
  EXPECT_EQ(world.outcome(), "done");
}

/// The kernel takes its time over what was preserved a moment before.
class FreezeWaitsTest : public WorldTest {
 protected:
  /// An update in state freezing, and a preserve that the kernel has not ended.
  void freeze_beside_a_preserve() {
    boot_two();
    world.make_session("script", 1);
    ASSERT_TRUE(world.request(JobType::prepare));
    ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
    world.settle();
    queue = session_queues + world.engine().sessions().find("script")->record.id;
    world.host().hold(queue);
    UniqueFd memory(memfd_create("late", MFD_CLOEXEC));
    world.call([&](Engine& engine) {
      engine.preserve("script", 2, std::move(memory), /*blob=*/false, std::nullopt, Caller{},
                      [this](const Result<void>& done) { preserved = done.has_value(); });
    });
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::freezing; }));
  }

  Queue queue = 0;
  bool preserved = false;
};

TEST_F(FreezeWaitsTest, UntilSessionsAreNotWorkedOn) {
  freeze_beside_a_preserve();
  world.run_for(World::second);
  EXPECT_EQ(world.engine().state(), State::freezing);
  EXPECT_EQ(world.announced.count("Freeze guest"), 0U);
  world.host().release(queue);
  ASSERT_TRUE(world.run_until([&] { return world.announced.count("Freeze guest") == 1; }));
  EXPECT_TRUE(preserved);
  EXPECT_TRUE(world.kernel->outgoing("script")->contains(2));
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(world.kernel->incoming("script"), (std::set<std::uint64_t>{1, 2}));
}

TEST_F(FreezeWaitsTest, NoLongerThanItsBudget) {
  world.config.freeze_budget_usec = 3 * World::second;
  freeze_beside_a_preserve();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_NE(world.reason().find("longer than freeze_budget"), std::string::npos) << world.reason();
  EXPECT_NE(world.reason().find("session 'script'"), std::string::npos) << world.reason();
  EXPECT_EQ(world.announced.count("Freeze guest"), 0U);
  EXPECT_FALSE(preserved);
  world.host().release(queue);
  expect_all_is_well(world);
  EXPECT_TRUE(preserved);
}

TEST_F(UpdateTest, AnotherTargetIsPreparedAnew) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  UpdateOptions other;
  other.kernel = "/boot/vmlinuz-other";
  EXPECT_EQ(world.update(other), "done");
  EXPECT_EQ(world.announced.count("Prepare disk"), 2U);
  expect_all_is_well(world);
}

TEST_F(UpdateTest, IsRefusedByPreflightWithNobodyAsked) {
  boot_two();
  world.machine.look_error = Error{ErrorCode::kernel_not_found, "There is no such kernel.", 0};
  EXPECT_EQ(world.update(), "refused: There is no such kernel.");
  EXPECT_EQ(calls(), Strings{});
  EXPECT_TRUE(world.history().empty());
  expect_all_is_well(world);
  world.machine.look_error.reset();
  EXPECT_EQ(world.update(), "done");
}

TEST_F(UpdateTest, IsRefusedWhereTheInitrdIsMissing) {
  boot_two();
  world.machine.initrd_missing = true;
  const auto refused = world.update();
  EXPECT_NE(refused.find("refused: there is no initrd"), std::string::npos) << refused;
  EXPECT_EQ(calls(), Strings{});
}

TEST_F(UpdateTest, IsRefusedWhereShutdownIsInhibited) {
  boot_two();
  world.pid_one.managers.inhibitors = {{"Backup", "It writes", 7, true}};
  const auto refused = world.update();
  EXPECT_NE(refused.find("refused: shutdown is inhibited by Backup"), std::string::npos) << refused;
  EXPECT_EQ(calls(), Strings{});
  EXPECT_FALSE(world.pid_one.shutdown_inhibited);
  world.pid_one.managers.inhibitors.clear();
  EXPECT_EQ(world.update(), "done");
  EXPECT_FALSE(world.pid_one.shutdown_inhibited);
}

/// From its beginning to its end, but not while it is prepared, which may last.
TEST_F(UpdateTest, InhibitsShutdownWhileItRuns) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::preparing; }));
  EXPECT_TRUE(world.pid_one.shutdown_inhibited);
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  EXPECT_FALSE(world.pid_one.shutdown_inhibited);
  EXPECT_EQ(world.pid_one.inhibitions, 1U);
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::frozen; }));
  EXPECT_TRUE(world.pid_one.shutdown_inhibited);
}

TEST_F(UpdateTest, AsksForTheUnitsOfItsClients) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  std::set<std::string> units;
  for (const auto& [name, client] : world.engine().clients()) {
    if (!client.owner.unit.empty()) units.insert(client.owner.unit);
  }
  EXPECT_FALSE(units.empty());
  EXPECT_EQ(world.pid_one.units_asked_for, Strings(units.begin(), units.end()));
}

TEST_F(UpdateTest, GoesOnInSpiteOfWhatIsAllowed) {
  boot_two();
  world.machine.initrd_missing = true;
  UpdateOptions options;
  options.allow = {FindingId::initrd_missing};
  EXPECT_EQ(world.update(options), "done");
  ASSERT_EQ(world.history().size(), 1U);
  const auto overruled = world.history().front().overruled;
  EXPECT_TRUE(overruled.starts_with("initrd-missing (allowed by uid ")) << overruled;
  // Of that update alone.
  EXPECT_NE(world.update().find("refused: there is no initrd"), std::string::npos);
}

TEST_F(UpdateTest, IsLookedAtWithoutBeingBegun) {
  boot_two();
  world.machine.initrd_missing = true;
  world.machine.modules_missing = true;
  std::optional<Result<std::vector<Finding>>> answer;
  const auto ask = [&](const UpdateOptions& options) {
    answer.reset();
    world.call([&](Engine& engine) {
      engine.preflight(options, [&](Result<std::vector<Finding>> found) { answer = found; });
    });
    world.settle();
    return answer && *answer ? **answer : std::vector<Finding>();
  };
  const auto found = ask({});
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].id, FindingId::initrd_missing);
  EXPECT_EQ(found[0].severity, Severity::error);
  EXPECT_EQ(found[1].id, FindingId::modules_missing);
  EXPECT_EQ(found[2].id, FindingId::kernel_untried);
  UpdateOptions options;
  options.allow = {FindingId::initrd_missing};
  ASSERT_EQ(ask(options).size(), 3U);
  EXPECT_EQ(ask(options)[0].severity, Severity::warning);
  EXPECT_EQ(calls(), Strings{});
  EXPECT_EQ(world.engine().state(), State::normal);
  EXPECT_TRUE(world.history().empty());
  world.machine.look_error = Error{ErrorCode::kernel_not_found, "There is no such kernel.", 0};
  world.machine.kho_off = true;
  UpdateOptions allowed;
  allowed.allow = {FindingId::kernel_not_found};
  (void)ask(allowed);
  ASSERT_TRUE(answer && *answer);
  ASSERT_EQ((*answer)->size(), 2U);
  EXPECT_EQ((*answer)->at(0).id, FindingId::kernel_not_found);
  EXPECT_EQ((*answer)->at(0).severity, Severity::error) << "there is nothing to go on with";
  EXPECT_EQ((*answer)->at(0).message, "There is no such kernel.");
  EXPECT_EQ((*answer)->at(1).id, FindingId::kho_off);
  EXPECT_EQ(world.update(allowed), "refused: There is no such kernel.");
  world.machine.kho_off = false;
  world.machine.look_error = Error{ErrorCode::io, "The image cannot be read.", EIO};
  (void)ask({});
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((*answer)->at(0).id, FindingId::kernel_unusable);
  EXPECT_EQ(world.request(JobType::update).error().code, ErrorCode::io);
  world.machine.look_error = Error{ErrorCode::invalid_argument, "No path.", 0};
  (void)ask({});
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().code, ErrorCode::invalid_argument);
  world.machine.look_error.reset();
  // While everybody is being asked, nothing else is looked at.
  world.machine.initrd_missing = false;
  guest().does(ClientCall::prepare, Does::nothing);
  ASSERT_TRUE(world.update_until(State::preparing));
  (void)ask({});
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().code, ErrorCode::busy);
  guest().answer_now();
  EXPECT_EQ(world.outcome(), "done");
}

TEST_F(UpdateTest, IsRefusedByTheLoad) {
  boot_two();
  world.machine.load_error = Error{ErrorCode::kexec_load_failed, "Locked down.", EPERM};
  EXPECT_EQ(world.update(), "refused: Locked down.");
  EXPECT_EQ(calls(), Strings{});
  expect_all_is_well(world);
}

TEST_F(UpdateTest, OneAtATime) {
  boot_two();
  guest().does(ClientCall::prepare, Does::nothing);
  ASSERT_TRUE(world.request(JobType::update));
  const auto second = world.request(JobType::update);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  world.settle();
  guest().answer_now();
  EXPECT_EQ(world.outcome(), "done");
}

TEST_F(UpdateTest, CollapsesWhatChangedSince) {
  boot_two();
  ASSERT_TRUE(world.request(JobType::prepare));
  ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::prepared; }));
  EXPECT_EQ(world.machine.collapses, 3U);
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.machine.collapses, 3U);
  expect_all_is_well(world);
}

TEST_F(UpdateTest, ComesBackWhereTheKexecFails) {
  boot_two();
  world.machine.kexec_error = Error{ErrorCode::kexec_failed, "reboot: Device busy.", EBUSY};
  EXPECT_EQ(world.update(), "failed");
  EXPECT_EQ(world.reason(), "reboot: Device busy.");
  EXPECT_EQ(world.kernels, 1U);
  expect_order({"Freeze disk", "Thaw disk", "Thaw guest"});
  expect_all_is_well(world);
  world.machine.kexec_error.reset();
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

TEST_F(UpdateTest, NameIsFreeRightAfterRestore) {
  boot_two();
  world.update();
  // FakeClient makes its session again in the very moment in which it has answered.
  for (const auto& [name, held] : world.engine().sessions().all()) {
    EXPECT_FALSE(held.record.incoming) << name;
  }
  EXPECT_EQ(disk().preserved().size(), 2U);
}

TEST_F(UpdateTest, DirectClientsAreRestoredToo) {
  world.client("disk").direct().preserves("disk", {1});
  world.client("guest").direct().needs({"disk"}).preserves("guest", {1});
  world.boot();
  EXPECT_EQ(world.update(), "done");
  expect_all_is_well(world);
}

TEST_F(UpdateTest, WhateverOrderThePoolWorksIn) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    World::Options options;
    options.seed = seed;
    World seeded(options);
    seeded.client("disk").preserves("disk", {1, 2}).preserves("disk-log", {1});
    seeded.client("net").preserves("net", {4});
    seeded.client("guest").needs({"disk", "net"}).preserves("guest", {1, 2, 3});
    seeded.boot();
    EXPECT_EQ(seeded.update(), "done");
    EXPECT_EQ(seeded.update(), "done");
    EXPECT_FALSE(seeded.lost_anything());
    expect_all_is_well(seeded);
  }
}

// ---- no kexec at all

TEST(EmulatedUpdateTest, ExecutesItselfAgain) {
  World::Options options;
  options.emulated = true;
  World world(options);
  world.client("disk").preserves("disk", {1});
  world.client("guest").needs({"disk"}).preserves("guest", {1});
  world.boot();
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.update(), "done");
  EXPECT_EQ(world.kernels, 1U);
  EXPECT_EQ(world.processes, 3U);
  EXPECT_EQ(world.engine().generation(), 2U);
  EXPECT_EQ(world.machine.loads, 0U);
  EXPECT_EQ(world.pid_one.inhibitions, 0U) << "nobody is asked for anything";
  EXPECT_TRUE(world.pid_one.units_asked_for.empty());
  expect_all_is_well(world);
}

// ---- through PID 1

TEST_F(UpdateTest, OrderlyIsLeftToPidOne) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.run_for(20 * World::second);  // units stop
  EXPECT_EQ(world.engine().state(), State::rebooting);
  world.finish_orderly_kexec();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_EQ(newest().mode, Mode::orderly);
  expect_all_is_well(world);
}

TEST_F(UpdateTest, OrderlyLeavesOnlySessionsInTheFdStore) {
  boot_two();
  ASSERT_TRUE(world.update_until(State::rebooting, orderly()));
  world.settle();
  const auto names = world.machine.fd_store.names();
  EXPECT_EQ(names, (Strings{"manifest-s", "session-1-s", "session-2-s"})) << lines(names);
}

TEST_F(UpdateTest, OrderlyThatPidOneRefusesIsUndone) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.kexec_failed(Error{ErrorCode::kexec_failed, "kexec.target was cancelled.", 0});
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_EQ(world.reason(), "kexec.target was cancelled.");
  expect_all_is_well(world);
}

/// PID 1 may go on with what is left of its job: nobody runs before that is taken back.
TEST_F(UpdateTest, OrderlyThatFailsIsTakenBackBeforeAnybodyIsThawed) {
  boot_two();
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.withdraw_error = passing({ErrorCode::kexec_failed, "The bus is not there."});
  world.pid_one.kexec_failed(Error{ErrorCode::kexec_failed, "PID 1 did not answer.", 0});
  world.run_for(20 * World::second);
  EXPECT_EQ(world.engine().state(), State::rebooting);
  EXPECT_EQ(world.announced.count("Thaw disk"), 0U);
  world.pid_one.withdraw_error.reset();
  EXPECT_EQ(world.outcome(), "failed");
  EXPECT_EQ(world.reason(), "PID 1 did not answer.");
  EXPECT_EQ(world.pid_one.withdrawals, 1U);
  expect_all_is_well(world);
}

// ---- by somebody else

TEST_F(UpdateTest, AKexecThatNobodyAnnouncedCarriesTheSessionsToo) {
  boot_two();
  world.kexec_by_hand();
  EXPECT_EQ(world.outcome(), "done");
  EXPECT_FALSE(disk().restored_quiesced());
  EXPECT_EQ(newest().mode, Mode::external);
  expect_all_is_well(world);
}

}  // namespace
}  // namespace handover::engine::test

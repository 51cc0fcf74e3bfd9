// SPDX-License-Identifier: LGPL-2.1-or-later
// Kernels are judged good or bad, and a bad one is gone into by nobody.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "../system/log_capture.h"
#include "world_test.h"

namespace handover::engine::test {
namespace {

constexpr auto release = "7.3.1-new";

class KernelsTest : public WorldTest {
 protected:
  void with_health() { world.config.health.command = {"/usr/bin/is-it-well", "--all"}; }
  /// The machine is reset in the reboot call, and boots the kernel that is its default.
  void lose_an_update() {
    reach_the_reboot_call();
    world.host().release(target_queue);
    be_reset();
  }
  /// The last sync before it does not end.
  void reach_the_reboot_call() {
    world.keep_frozen();
    ASSERT_TRUE(world.update_until(State::frozen));
    world.before_step = [&] {
      if (world.engine().state() == State::rebooting) world.host().hold(target_queue);
    };
    world.let_go();
    ASSERT_TRUE(world.run_until([&] { return world.engine().state() == State::rebooting; }));
    world.settle();
    world.before_step = nullptr;
  }
  void be_reset() {
    world.power_cut();
    ASSERT_TRUE(world.run_until([&] { return world.lost_anything(); }));
    expect_all_is_well(world);
  }
  KernelLedger on_disk() {
    const auto text = world.machine.state.read(StateFile::kernels);
    if (!text) return {};
    auto ledger = parse_kernel_ledger(*text);
    EXPECT_TRUE(ledger) << ledger.error().message;
    return ledger.value_or(KernelLedger{});
  }
  std::optional<KernelRecord> known() {
    const auto ledger = on_disk();
    const auto* record = find(ledger, {release, world.machine.target_identity});
    return record == nullptr ? std::nullopt : std::optional(*record);
  }
  std::optional<KernelState> state() {
    const auto record = known();
    return record ? std::optional(record->state) : std::nullopt;
  }
  Result<void> allow(const std::string& which) {
    auto answer = std::make_shared<std::optional<Result<void>>>();
    world.call([&](Engine& engine) {
      engine.allow_kernel(which, Caller{}, [answer](const Result<void>& done) { *answer = done; });
    });
    world.settle();
    if (!*answer) return fail(ErrorCode::internal, "not answered");
    return **answer;
  }
  std::vector<KernelListed> list() {
    auto answer = std::make_shared<std::vector<KernelListed>>();
    world.call([&](Engine& engine) {
      engine.list_kernels([answer](const Result<std::vector<KernelListed>>& listed) {
        if (listed) *answer = *listed;
      });
    });
    world.settle();
    return *answer;
  }
  [[nodiscard]] bool told(const std::string& signal) const {
    const auto& all = world.announced.signals;
    return std::any_of(all.begin(), all.end(),
                       [&](const std::string& one) { return one.starts_with(signal); });
  }
};

TEST_F(KernelsTest, IsJudgedGoodWhenTheClientsAreRestored) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  const auto record = known();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->state, KernelState::good);
  EXPECT_EQ(record->update, newest().id);
  EXPECT_EQ(record->when, "2026-11-29T12:00:00Z");
  EXPECT_EQ(newest().health, "") << "there is no health command";
  EXPECT_TRUE(world.machine.programs.empty());
  EXPECT_TRUE(told("kernel 7.3.1-new good in generation 1"));
}

TEST_F(KernelsTest, IsJudgedBadAfterAColdBoot) {
  boot_two();
  lose_an_update();
  const auto record = known();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->state, KernelState::bad);
  EXPECT_NE(record->reason.find("a panic or a cold boot"), std::string::npos);
  EXPECT_EQ(record->update, newest().id);
}

/// It never ran.
TEST_F(KernelsTest, IsNotToBlameForAPowerCutBeforeTheRebootCall) {
  boot_two();
  world.keep_frozen();
  ASSERT_TRUE(world.update_until(State::frozen));
  be_reset();
  EXPECT_FALSE(world.history().empty()) << "that the state is lost is told all the same";
  EXPECT_EQ(newest().outcome, Outcome::failed);
  EXPECT_FALSE(newest().losses.empty());
  EXPECT_FALSE(state());
  EXPECT_EQ(world.update(), "done");
}

/// The blackout is not longer for it.
TEST_F(KernelsTest, ADiskThatDoesNotAnswerBlamesNobody) {
  boot_two();
  world.keep_frozen();
  ASSERT_TRUE(world.update_until(State::frozen));
  world.host().hold(disk_queue);
  world.let_go();
  const auto kernels = world.kernels;
  const auto before = world.machine.clock.now_usec();
  ASSERT_TRUE(world.run_until([&] { return world.kernels > kernels; }));
  EXPECT_LE(world.machine.clock.now_usec() - before, 2 * World::second);
  EXPECT_EQ(world.outcome(), "done");
}

/// The update is undone: nothing is left to blame for the next power cut.
TEST_F(KernelsTest, IsNotToBlameWhereTheRebootCallFails) {
  boot_two();
  world.machine.kexec_error = Error{ErrorCode::kexec_failed, "reboot: no", 0};
  EXPECT_EQ(world.update(), "failed");
  ASSERT_TRUE(world.calm_down());
  EXPECT_FALSE(world.machine.state.has(StateFile::pending));
  world.power_cut();
  ASSERT_TRUE(world.calm_down());
  EXPECT_FALSE(state());
}

TEST_F(KernelsTest, ABadOneIsRefusedBeforeAnybodyIsAsked) {
  boot_two();
  lose_an_update();
  const auto asked = calls().size();
  const auto refused = world.update();
  EXPECT_TRUE(refused.starts_with("refused: ")) << refused;
  EXPECT_NE(refused.find("handoverctl kernels allow 7.3.1-new"), std::string::npos) << refused;
  EXPECT_EQ(calls().size(), asked);
  // Built again it is another one.
  world.machine.target_identity = "1001-00000001";
  EXPECT_EQ(world.update(), "done");
}

TEST_F(KernelsTest, MayBeAllowedForOnce) {
  boot_two();
  lose_an_update();
  UpdateOptions options;
  options.allow = {FindingId::kernel_bad};
  with_health();
  world.machine.program_error = Error{ErrorCode::io, "it ended with status 1", 0};
  EXPECT_EQ(world.update(options), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_NE(newest().overruled.find("kernel-bad"), std::string::npos);
}

TEST_F(KernelsTest, MayBeAllowedAgain) {
  boot_two();
  lose_an_update();
  const auto none = allow("7.3.9");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kernel_not_found);
  EXPECT_EQ(state(), KernelState::bad);
  EXPECT_TRUE(allow(release));
  EXPECT_FALSE(state());
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(state(), KernelState::good);
}

TEST_F(KernelsTest, ThatCameUpByTheKexecDidNotLoseTheState) {
  boot_two();
  reach_the_reboot_call();
  world.power_cut();
  world.machine.booted_by_kexec = true;
  ASSERT_TRUE(world.run_until([&] { return world.lost_anything(); }));
  expect_all_is_well(world);
  EXPECT_FALSE(state());
}

TEST_F(KernelsTest, HealthIsAskedAfterTheLastRestore) {
  boot_two();
  with_health();
  std::size_t restored = 0;
  std::string health;
  world.machine.on_program = [&](const RunProgram& program) {
    restored = world.announced.count("Restore guest") + world.announced.count("Restore disk");
    EXPECT_EQ(program.argv, world.config.health.command);
    EXPECT_EQ(program.timeout_usec, world.config.health.timeout_usec);
    EXPECT_EQ(program.environment.size(), 2U);
    EXPECT_EQ(program.environment.at(1), "HANDOVER_KERNEL=7.3.1-new");
    EXPECT_FALSE(state()) << "it is not judged yet";
    EXPECT_FALSE(world.announced.finished.empty()) << "the update is over without it";
    health = newest().health;
  };
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(restored, 2U);
  EXPECT_EQ(health, "running");
  ASSERT_EQ(world.machine.programs.size(), 1U);
  EXPECT_EQ(world.machine.programs[0].environment[0],
            "HANDOVER_UPDATE=" + std::to_string(newest().id));
  EXPECT_EQ(newest().health, "passed");
  EXPECT_EQ(newest().health_reason, "");
  EXPECT_EQ(newest().outcome, Outcome::done);
  EXPECT_EQ(state(), KernelState::good);
}

TEST_F(KernelsTest, IsJudgedBadWhereHealthFails) {
  boot_two();
  with_health();
  world.machine.program_error = Error{ErrorCode::io, "it ended with status 1", 0};
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(state(), KernelState::bad);
  EXPECT_EQ(known()->reason, "the health command failed: it ended with status 1");
  EXPECT_EQ(newest().health, "failed");
  EXPECT_EQ(newest().health_reason, known()->reason);
  EXPECT_EQ(newest().outcome, Outcome::done) << "the workloads run on";
  EXPECT_TRUE(told("kernel 7.3.1-new bad in generation 1: the health command failed"));
  EXPECT_TRUE(world.update().starts_with("refused: "));
}

/// Nobody else would.
TEST_F(KernelsTest, ADaemonThatDiedMeanwhileAsksAgain) {
  boot_two();
  with_health();
  bool killed = false;
  world.machine.on_program = [&](const RunProgram&) {
    if (!std::exchange(killed, true)) world.machine.end_process();
  };
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.run_until([&] { return state().has_value(); }));
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(world.machine.programs.size(), 2U);
  EXPECT_EQ(world.machine.programs[0].environment, world.machine.programs[1].environment);
  EXPECT_EQ(state(), KernelState::good);
  EXPECT_EQ(newest().health, "passed");
}

/// `systemctl restart handoverd` while health waits.
TEST_F(KernelsTest, ADaemonThatIsStoppedLeavesTheTrialToTheNext) {
  boot_two();
  with_health();
  bool stopped = false;
  world.machine.on_program = [&](const RunProgram&) {
    if (world.machine.programs.size() > 1) return;
    world.call([&](Engine& engine) { EXPECT_TRUE(engine.terminate([&] { stopped = true; })); });
  };
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.run_until([&] { return stopped; }));
  EXPECT_EQ(world.machine.programs.size(), 1U);
  EXPECT_FALSE(state());
  EXPECT_EQ(newest().health, "running");
  world.kill_daemon();
  ASSERT_TRUE(world.run_until([&] { return state().has_value(); }));
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(world.machine.programs.size(), 2U);
  EXPECT_EQ(state(), KernelState::good);
  EXPECT_EQ(newest().health, "passed");
}

/// Nobody will end it any more.
TEST_F(KernelsTest, HealthThatTheNextKernelCutsIsNotRunningForEver) {
  for (const bool by_kexec : {true, false}) {
    World each;
    each.client("guest").preserves("guest", {1});
    each.config.health.command = {"/usr/bin/is-it-well"};
    each.boot();
    each.before_step = [&] {
      // The command runs on.
      if (each.daemon_is_here() && each.kernels == 2) each.host().hold(health_queue);
    };
    EXPECT_EQ(each.update(), "done");
    ASSERT_FALSE(each.history().empty());
    EXPECT_EQ(each.history().front().health, "running");
    if (by_kexec) {
      each.kexec_by_hand();
    } else {
      each.power_cut();
    }
    ASSERT_TRUE(each.calm_down());
    EXPECT_EQ(each.update(), "done");
    ASSERT_TRUE(each.calm_down());
    for (const auto& entry : each.history()) EXPECT_NE(entry.health, "running") << entry.id;
    EXPECT_EQ(each.history().front().health, "passed");
  }
}

TEST_F(KernelsTest, IsAskedOnceOnly) {
  boot_two();
  with_health();
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  world.kill_daemon();
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(world.machine.programs.size(), 1U);
}

TEST_F(KernelsTest, AnUpdateThatIsUndoneIsNoTrial) {
  boot_two();
  with_health();
  guest().does(ClientCall::freeze, Does::veto);
  EXPECT_EQ(world.update(), "failed");
  ASSERT_TRUE(world.calm_down());
  EXPECT_TRUE(world.machine.programs.empty());
  EXPECT_FALSE(state());
}

TEST_F(KernelsTest, IsWrittenDownAsSoonAsVarIsThere) {
  boot_two();
  with_health();
  world.machine.on_program = [&](const RunProgram&) { world.machine.state.mounted = false; };
  EXPECT_EQ(world.update(), "done");
  world.run_for(10 * World::second);
  world.machine.state.mounted = true;
  EXPECT_FALSE(state());
  world.run_for(10 * World::second);
  EXPECT_EQ(state(), KernelState::good);
  EXPECT_EQ(newest().health, "passed");
}

TEST_F(KernelsTest, ALedgerThatCannotBeReadIsSetAside) {
  ASSERT_TRUE(world.machine.state.replace(StateFile::kernels, "{\"version\": 1, \"kern"));
  boot_two();
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(state(), KernelState::good);
  EXPECT_TRUE(world.machine.state.has("kernels.json.bad"));
}

TEST_F(KernelsTest, AreListed) {
  boot_two();
  lose_an_update();
  world.machine.kernel_files = {
      {"/boot/vmlinuz-7.3.0-old", {"7.3.0-old", "900-00000000"}},
      {"/boot/vmlinuz-7.3.1-new", {release, world.machine.target_identity}}};
  const auto listed = list();
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].release, release);
  EXPECT_EQ(listed[0].state, KernelState::bad);
  EXPECT_TRUE(listed[0].running);
  EXPECT_EQ(listed[1].state, KernelState::untried);
  EXPECT_FALSE(listed[1].running);
}

TEST_F(KernelsTest, AGoodOneBecomesTheDefaultAndNotBefore) {
  boot_two();
  with_health();
  world.config.bless = true;
  world.machine.program_error = Error{ErrorCode::io, "it ended with status 1", 0};
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(world.machine.programs.size(), 1U) << "a bad one does not";
  world.machine.program_error.reset();
  world.machine.target_identity = "1001-00000001";
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  ASSERT_EQ(world.machine.programs.size(), 3U);
  EXPECT_EQ(world.machine.programs[1].argv, world.config.health.command);
  EXPECT_EQ(world.machine.programs[2].argv,
            (Strings{"/usr/bin/bootctl", "set-default", "new-entry", release}));
  EXPECT_EQ(state(), KernelState::good);
}

TEST_F(KernelsTest, ThatDidNotBecomeTheDefaultIsTold) {
  boot_two();
  world.config.bless = true;
  world.kill_daemon();
  ASSERT_TRUE(world.calm_down());
  world.machine.default_not_set = Error{ErrorCode::io, "/boot/grub/grubenv has it not", 0};
  const handover::test::LogCapture capture;
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  const auto lines = capture.lines(log::Level::error);
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const log::Line& line) {
    return line.text.find("did not become the boot loader's default") != std::string::npos &&
           line.text.find("/boot/grub/grubenv") != std::string::npos;
  }));
  EXPECT_EQ(state(), KernelState::good);
}

TEST_F(KernelsTest, ThatCannotBecomeTheDefaultIsToldBefore) {
  boot_two();
  world.config.bless = true;
  // The daemon read its configuration when it was started.
  world.kill_daemon();
  ASSERT_TRUE(world.calm_down());
  world.machine.no_boot_default = Error{ErrorCode::not_supported, "there is no bootctl", 0};
  std::vector<FindingId> ids;
  world.call([&](Engine& engine) {
    engine.preflight({}, [&ids](const Result<std::vector<Finding>>& found) {
      if (!found) return;
      for (const auto& one : *found) ids.push_back(one.id);
    });
  });
  world.settle();
  EXPECT_EQ(ids, (std::vector{FindingId::bless_impossible, FindingId::kernel_untried}));
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_TRUE(world.machine.programs.empty());
}

/// No kernel is booted: nothing is to be remembered of one.
TEST(Kernels, EmulatedUpdatesLeaveTheLedgerAlone) {
  World world(World::Options{.emulated = true});
  world.config.health.command = {"/usr/bin/is-it-well"};
  world.client("guest").preserves("guest", {1});
  world.boot();
  EXPECT_EQ(world.update(), "done");
  ASSERT_TRUE(world.calm_down());
  EXPECT_EQ(world.machine.programs.size(), 1U);
  EXPECT_EQ(world.history().front().health, "passed");
  EXPECT_FALSE(world.machine.state.has(StateFile::kernels));
}

}  // namespace
}  // namespace handover::engine::test

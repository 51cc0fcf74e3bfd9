// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update asks of QEMU, and QEMUs that fail at each step of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <functional>

#include "common/loop.h"
#include "fake_qemu.h"
#include "vmm/migration.h"

namespace handover::vmm {
namespace {

using nlohmann::json;
using test::FakeQemu;

// Of a command that is never answered.
constexpr std::uint64_t command_usec = 100'000;
constexpr std::uint64_t patience_usec = 20'000'000;

Deadline in_time() { return common::now_usec() + patience_usec; }

class Connected {
 public:
  explicit Connected(const FakeQemu::Behaviour& behaviour)
      : qemu(behaviour),
        monitor(qemu.take_socket()),
        limit(behaviour.fault == FakeQemu::Fault::is_silent ? command_usec : patience_usec) {
    signal(SIGPIPE, SIG_IGN);
  }
  client::Result<void> greet() {
    auto found = monitor.greet(common::now_usec() + limit);
    if (!found) return found.error();
    version = *found;
    return {};
  }
  Peer peer() { return {monitor, version, limit}; }

  FakeQemu qemu;
  Monitor monitor;
  std::uint64_t limit;
  Version version;
};

StateMemory new_memory(std::uint64_t bytes = 1 << 20) {
  auto memory = StateMemory::make("state", bytes);
  EXPECT_TRUE(memory);
  return std::move(*memory);
}

std::string state_in(const StateMemory& memory) {
  auto header = memory.header();
  if (!header) return header.error().message;
  auto pipe_ends = std::array{-1, -1};
  if (pipe(pipe_ends.data()) < 0) return "no pipe";
  const client::Fd reader(pipe_ends[0]);
  client::Fd writer(pipe_ends[1]);
  EXPECT_TRUE(memory.pour_into(writer.get(), *header, in_time()));
  writer.reset();
  std::string text(1024, '\0');
  text.resize(
      static_cast<std::size_t>(std::max<ssize_t>(0, read(reader.get(), text.data(), 1024))));
  return text;
}

TEST(VmmMigration, SavesAndLoads) {
  Connected old(FakeQemu::Behaviour{});
  ASSERT_TRUE(old.greet());
  auto memory = new_memory();
  ASSERT_TRUE(memory.begin("description"));
  ASSERT_TRUE(stop_guest(old.peer(), in_time()));
  auto saved = save_state(old.peer(), memory, in_time());
  ASSERT_TRUE(saved) << saved.error().message;
  EXPECT_FALSE(memory.header()) << "not complete before complete()";
  memory.complete(42, true);
  EXPECT_EQ(state_in(memory), "the state of the devices");
  EXPECT_EQ(old.qemu.run_state(), "paused");

  auto header = memory.header();
  ASSERT_TRUE(header);
  EXPECT_EQ(memory.description(*header), "description");
  Connected fresh(FakeQemu::Behaviour{});
  ASSERT_TRUE(fresh.greet());
  auto loaded = load_state(fresh.peer(), memory, *header, in_time());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(fresh.qemu.loaded(), "the state of the devices");
}

TEST(VmmMigration, LeavesSharedMemoryOut) {
  Connected qemu(FakeQemu::Behaviour{});
  ASSERT_TRUE(qemu.greet());
  auto memory = new_memory();
  ASSERT_TRUE(memory.begin(""));
  ASSERT_TRUE(save_state(qemu.peer(), memory, in_time()));
  const json expected = {{"capabilities",
                          {{{"capability", "x-ignore-shared"}, {"state", true}},
                           {{"capability", "pause-before-switchover"}, {"state", false}}}}};
  EXPECT_EQ(qemu.qemu.arguments_of("migrate-set-capabilities"), expected);
  EXPECT_TRUE(qemu.qemu.arguments_of("migrate-set-parameters").is_null());
}

TEST(VmmMigration, UsesTheModeMadeForItWhereThereIsOne) {
  FakeQemu::Behaviour behaviour;
  behaviour.major = 9;
  Connected qemu(behaviour);
  ASSERT_TRUE(qemu.greet());
  auto memory = new_memory();
  ASSERT_TRUE(memory.begin(""));
  ASSERT_TRUE(save_state(qemu.peer(), memory, in_time()));
  EXPECT_EQ(qemu.qemu.arguments_of("migrate-set-parameters"), (json{{"mode", "cpr-reboot"}}));
}

TEST(VmmMigration, StateThatDoesNotFitSaysWhichFieldToRaise) {
  FakeQemu::Behaviour behaviour;
  behaviour.state.assign(3 << 20, 'x');
  Connected qemu(behaviour);
  ASSERT_TRUE(qemu.greet());
  auto memory = new_memory();
  ASSERT_TRUE(memory.begin("description"));
  auto saved = save_state(qemu.peer(), memory, in_time());
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().message.find("raise \"state\""), std::string::npos)
      << saved.error().message;
  EXPECT_FALSE(memory.header());
}

TEST(VmmMigration, StateThatJustFits) {
  FakeQemu::Behaviour behaviour;
  behaviour.state.assign((1 << 20) - header_bytes, 'x');
  Connected qemu(behaviour);
  ASSERT_TRUE(qemu.greet());
  auto memory = new_memory();
  ASSERT_TRUE(memory.begin(""));
  auto saved = save_state(qemu.peer(), memory, in_time());
  EXPECT_TRUE(saved) << saved.error().message;
}

TEST(VmmMigration, WhatQemuSaysOfAFailureIsPassedOn) {
  FakeQemu::Behaviour behaviour;
  behaviour.migration_fails = "the floppy is still turning";
  Connected qemu(behaviour);
  ASSERT_TRUE(qemu.greet());
  auto memory = new_memory();
  ASSERT_TRUE(memory.begin(""));
  auto saved = save_state(qemu.peer(), memory, in_time());
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().message.find("floppy"), std::string::npos) << saved.error().message;
}

TEST(VmmMigration, RehearsalLeavesTheGuestRunning) {
  Connected qemu(FakeQemu::Behaviour{});
  ASSERT_TRUE(qemu.greet());
  auto portable = check_portable(qemu.peer(), in_time());
  EXPECT_TRUE(portable) << portable.error().message;
  EXPECT_EQ(qemu.qemu.run_state(), "running");
}

TEST(VmmMigration, RehearsalLeavesAPausedGuestPaused) {
  FakeQemu::Behaviour behaviour;
  behaviour.run_state = "paused";
  Connected qemu(behaviour);
  ASSERT_TRUE(qemu.greet());
  EXPECT_TRUE(check_portable(qemu.peer(), in_time()));
  EXPECT_EQ(qemu.qemu.run_state(), "paused");
  const auto commands = qemu.qemu.commands();
  for (const char* moves : {"migrate", "stop", "cont"}) {
    EXPECT_EQ(std::count(commands.begin(), commands.end(), moves), 0) << moves;
  }
}

TEST(VmmMigration, StatesThatCanBeCarried) {
  const std::tuple<int, const char*, bool> cases[] = {
      {7, "running", true},    {7, "paused", true},     {7, "shutdown", true},
      {7, "suspended", false}, {9, "suspended", true},  {9, "postmigrate", false},
      {9, "io-error", false},  {9, "prelaunch", false}, {9, "guest-panicked", false}};
  for (const auto& [major, state, good] : cases) {
    FakeQemu::Behaviour behaviour;
    behaviour.major = major;
    behaviour.run_state = state;
    Connected qemu(behaviour);
    ASSERT_TRUE(qemu.greet());
    auto carried = state_to_carry(qemu.peer(), in_time());
    EXPECT_EQ(static_cast<bool>(carried), good) << major << " " << state;
    if (carried) {
      EXPECT_EQ(*carried, state);
    } else {
      EXPECT_NE(carried.error().message.find(state), std::string::npos);
    }
  }
}

/// Formats and devices that only another host would trouble.
TEST(VmmMigration, BlockersAreThoseOfTheModeThatIsUsed) {
  FakeQemu::Behaviour behaviour;
  behaviour.major = 9;
  behaviour.blocked_normally = {"The vdi format used by node 'd' does not support live migration"};
  Connected qemu(behaviour);
  ASSERT_TRUE(qemu.greet());
  auto portable = check_portable(qemu.peer(), in_time());
  EXPECT_TRUE(portable) << portable.error().message;
  behaviour.major = 8;
  Connected old(behaviour);
  ASSERT_TRUE(old.greet());
  EXPECT_FALSE(check_portable(old.peer(), in_time()));
}

/// An operator's own migration later is as he asks for it.
TEST(VmmMigration, SettingsArePutBackAfterTheCheck) {
  for (const char* fails : {"", "dimm7"}) {
    FakeQemu::Behaviour behaviour;
    behaviour.major = 9;
    if (*fails) behaviour.memory = {{{"id", fails}, {"share", true}}};
    Connected qemu(behaviour);
    ASSERT_TRUE(qemu.greet());
    EXPECT_EQ(static_cast<bool>(check_portable(qemu.peer(), in_time())), *fails == 0);
    const json off = {{"capabilities",
                       {{{"capability", "x-ignore-shared"}, {"state", false}},
                        {{"capability", "pause-before-switchover"}, {"state", false}}}}};
    EXPECT_EQ(qemu.qemu.last_arguments_of("migrate-set-capabilities"), off);
    EXPECT_EQ(qemu.qemu.last_arguments_of("migrate-set-parameters"), (json{{"mode", "normal"}}));
  }
}

TEST(VmmMigration, VetoesNameTheCulprit) {
  std::vector<std::pair<FakeQemu::Behaviour, const char*>> cases(4);
  cases[0].first.blocked_reasons = {"non-migratable device: 0000:00:01.0/nvme"};
  cases[0].second = "nvme";
  cases[1].first.memory = {{{"id", "dimm7"}, {"share", true}}};
  cases[1].second = "dimm7";
  cases[2].first.memory = {{{"id", "handover-ram"}, {"share", false}}};
  cases[2].second = "not shared";
  cases[3].first.run_state = "internal-error";
  cases[3].second = "internal-error";
  for (const auto& [behaviour, culprit] : cases) {
    Connected qemu(behaviour);
    ASSERT_TRUE(qemu.greet());
    auto portable = check_portable(qemu.peer(), in_time());
    ASSERT_FALSE(portable) << culprit;
    EXPECT_NE(portable.error().message.find(culprit), std::string::npos)
        << portable.error().message;
    const auto commands = qemu.qemu.commands();
    EXPECT_EQ(std::count(commands.begin(), commands.end(), "migrate"), 0) << culprit;
  }
}

/// Everything with a QEMU that fails its n-th command, for every n, in every way: an error each
/// time, soon, and never a state that passes for a complete one.
TEST(VmmMigration, FailuresAtEachStep) {
  using Work = std::function<client::Result<void>(Connected&)>;
  const Work prepare = [](Connected& qemu) { return check_portable(qemu.peer(), in_time()); };
  const Work freeze = [](Connected& qemu) -> client::Result<void> {
    auto memory = new_memory();
    if (auto begun = memory.begin("d"); !begun) return begun;
    if (auto stopped = stop_guest(qemu.peer(), in_time()); !stopped) return stopped;
    auto saved = save_state(qemu.peer(), memory, in_time());
    EXPECT_FALSE(memory.header());
    return saved;
  };
  const Work restore = [](Connected& qemu) -> client::Result<void> {
    auto memory = new_memory();
    if (auto begun = memory.begin("d"); !begun) return begun;
    memory.complete(1, true);
    auto header = memory.header();
    if (auto loaded = load_state(qemu.peer(), memory, *header, in_time()); !loaded) return loaded;
    return continue_guest(qemu.peer(), in_time());
  };
  for (const auto& work : {prepare, freeze, restore}) {
    Connected good(FakeQemu::Behaviour{});
    ASSERT_TRUE(good.greet());
    ASSERT_TRUE(work(good));
    const int count = static_cast<int>(good.qemu.commands().size());
    for (int n = 0; n < count; ++n) {
      for (const auto fault : {FakeQemu::Fault::refuses, FakeQemu::Fault::is_silent,
                               FakeQemu::Fault::ends, FakeQemu::Fault::talks_nonsense}) {
        FakeQemu::Behaviour behaviour;
        behaviour.failing_command = n;
        behaviour.fault = fault;
        Connected qemu(behaviour);
        const auto started = common::now_usec();
        auto outcome = qemu.greet();
        if (outcome) outcome = work(qemu);
        EXPECT_FALSE(outcome) << good.qemu.commands().at(static_cast<std::size_t>(n));
        EXPECT_LT(common::now_usec() - started, patience_usec / 2);
      }
    }
  }
}

TEST(VmmMigration, AGuestThatCannotBeReadBackIsAnError) {
  FakeQemu::Behaviour behaviour;
  behaviour.migration_fails = "unknown section";
  Connected qemu(behaviour);
  ASSERT_TRUE(qemu.greet());
  auto memory = new_memory();
  ASSERT_TRUE(memory.begin("d"));
  memory.complete(1, true);
  auto header = memory.header();
  ASSERT_TRUE(header);
  auto loaded = load_state(qemu.peer(), memory, *header, in_time());
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message.find("unknown section"), std::string::npos);
}

}  // namespace
}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-vmm through updates with a real QEMU, whose guest is its firmware and nothing else.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "child_process.h"
#include "host.h"

namespace handover::test {
namespace {

using nlohmann::json;

class VmmClient : public testing::Test {
 protected:
  void SetUp() override {
    if (access(qemu, X_OK) != 0) GTEST_SKIP() << "there is no " << qemu;
    host.boot();
  }

  void TearDown() override {
    if (!vmm) return;
    // Twice: the firmware does not heed the power button.
    if (!status) vmm->signal(SIGTERM);
    if (!status) vmm->signal(SIGINT);
    EXPECT_TRUE(host.run_until([&] { return status.has_value(); }))
        << "handover-vmm does not end on SIGTERM";
    if (HasFailure()) std::fprintf(stderr, "---- the client's log\n%s\n", text_of(log()).c_str());
  }

  /// `command`: seconds that QEMU has for each. Many, unless it is to hang: the machine that runs
  /// the tests may be busy.
  void start(const std::vector<std::string>& devices = {},
             const std::vector<std::string>& needs = {}, int command = 30) {
    std::vector<std::string> arguments = {"-machine",    "q35",      "-accel", "tcg",
                                          "-nodefaults", "-display", "none",   "-no-user-config"};
    arguments.insert(arguments.end(), devices.begin(), devices.end());
    const json config = {{"qemu", qemu},   {"memory", "32M"},
                         {"state", "32M"}, {"arguments", arguments},
                         {"needs", needs}, {"limits", {{"command", command}, {"shutdown", 1}}}};
    host.directory().write("guest.json", config.dump());
    ChildProcess::Setup setup;
    setup.argv = {HANDOVER_VMM_PROGRAM,
                  "run",
                  "--name",
                  "guest",
                  "--config",
                  host.directory().path("guest.json"),
                  "--directory",
                  host.directory().path("status")};
    setup.environment = {"HANDOVER_PRIVATE_SOCKET=" + host.directory().path("run/private"),
                         "DBUS_SYSTEM_BUS_ADDRESS=" + host.bus().address()};
    setup.log = log();
    vmm.emplace(host.loop(), setup, [this](int ended) { status = ended; });
    ASSERT_TRUE(host.run_until([&] { return runs() && preserved(); })) << text_of(log());
    host.observer().clear();
  }

  [[nodiscard]] std::string log() const { return host.directory().path("vmm.log"); }
  [[nodiscard]] json told() const {
    return json::parse(text_of(host.directory().path("status/guest.json")), nullptr, false);
  }
  [[nodiscard]] bool runs() const {
    const auto now = told();
    return now.is_object() && now["state"] == "running";
  }
  [[nodiscard]] pid_t qemu_process() const { return told()["pid"].get<pid_t>(); }
  [[nodiscard]] bool preserved() {
    for (const auto& session : host.list_sessions()) {
      if (session.name == "guest") return !session.incoming && session.descriptors == 2;
    }
    return false;
  }

  /// The guest, and an update that is held up when it is frozen: a client that it needs comes
  /// after.
  void freeze() {
    auto& below = host.add({"below"});
    ASSERT_TRUE(host.start_clients());
    start({}, {"below"});
    ASSERT_TRUE(host.update_held_by(below, Call::freeze));
    ASSERT_EQ(told()["state"], "frozen");
  }

  void expect_goes_on_after_cancel() {
    ASSERT_TRUE(host.cancel().ok());
    EXPECT_EQ(host.finished().outcome, "cancelled");
    EXPECT_TRUE(host.run_until([&] { return runs() && host.state() == "normal"; }));
    EXPECT_FALSE(told()["carried"]["restored"]);
  }

  /// An update that is refused for that reason; the guest goes on in the QEMU that it has.
  void expect_refused(const std::string& reason) {
    const auto before = qemu_process();
    host.observer().clear();
    ASSERT_TRUE(host.update().ok());
    const auto finished = host.finished();
    EXPECT_EQ(finished.outcome, "failed");
    EXPECT_NE(finished.reason.find(reason), std::string::npos) << finished.reason;
    EXPECT_TRUE(host.run_until([&] { return host.state() == "normal"; }));
    EXPECT_EQ(qemu_process(), before);
  }

  static constexpr int command_of_hanging = 4;
  static constexpr const char* qemu = "/usr/bin/qemu-system-x86_64";
  Host host;
  std::optional<ChildProcess> vmm;
  std::optional<int> status;
};

TEST_F(VmmClient, GoesOnAfterEachUpdate) {
  start();
  for (std::uint64_t generation = 1; generation <= 2; ++generation) {
    const auto before = qemu_process();
    host.observer().clear();
    ASSERT_TRUE(host.update().ok());
    const auto finished = host.finished();
    EXPECT_EQ(finished.outcome, "done") << finished.reason;
    EXPECT_TRUE(host.observer().all("StateLost").empty());
    EXPECT_TRUE(host.run_until([&] { return runs() && preserved() && host.state() == "normal"; }));
    EXPECT_NE(qemu_process(), before) << "the state was not tried";
    EXPECT_TRUE(told()["carried"]["restored"]);
    EXPECT_GT(told()["carried"]["state_bytes"].get<int>(), 1000);
    EXPECT_EQ(host.generation(), generation);
  }
}

/// Its memory is not the guest's: it goes into the state, and does not fit into a pipe.
TEST_F(VmmClient, GoesOnWithADeviceThatHasMemory) {
  start({"-device", "VGA"});
  ASSERT_TRUE(host.update().ok());
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "done") << finished.reason;
  EXPECT_TRUE(host.run_until([&] { return runs() && host.state() == "normal"; }));
  EXPECT_TRUE(told()["carried"]["restored"]);
}

TEST_F(VmmClient, DeviceThatCannotMigrateIsNamed) {
  start({"-device", "amd-iommu"});
  expect_refused("amd-iommu");
}

TEST_F(VmmClient, QemuThatHangsIsAVetoInTime) {
  start({}, {}, command_of_hanging);
  ASSERT_EQ(kill(qemu_process(), SIGSTOP), 0);
  expect_refused("QEMU does not answer");
  ASSERT_EQ(kill(qemu_process(), SIGCONT), 0);
  host.observer().clear();
  ASSERT_TRUE(host.update().ok());
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_TRUE(host.run_until([&] { return runs() && host.state() == "normal"; }));
}

TEST_F(VmmClient, CancelledAfterFreeze) {
  freeze();
  const auto before = qemu_process();
  expect_goes_on_after_cancel();
  EXPECT_EQ(qemu_process(), before);
}

TEST_F(VmmClient, QemuKilledWhileFrozen) {
  freeze();
  const auto before = qemu_process();
  ASSERT_EQ(kill(before, SIGKILL), 0);
  ASSERT_TRUE(host.run_until([&] { return qemu_process() == 0; }));
  EXPECT_EQ(told()["state"], "frozen");
  expect_goes_on_after_cancel();
  EXPECT_NE(qemu_process(), before);
  EXPECT_FALSE(status) << "handover-vmm has ended";
}

/// It is asked when it cannot answer, and does as it was told once it can.
TEST_F(VmmClient, QemuThatHangsInTheFreeze) {
  start({}, {}, command_of_hanging);
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.run_until([&] { return host.state() == "prepared"; }));
  ASSERT_EQ(kill(qemu_process(), SIGSTOP), 0);
  expect_refused("QEMU does not answer");
  ASSERT_EQ(kill(qemu_process(), SIGCONT), 0);
  EXPECT_TRUE(runs());
}

TEST_F(VmmClient, EndsWithItsQemu) {
  start();
  ASSERT_EQ(kill(qemu_process(), SIGKILL), 0);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_EQ(told()["state"], "ended");
  EXPECT_TRUE(host.run_until([&] { return host.list_sessions().empty(); }));
}

}  // namespace
}  // namespace handover::test

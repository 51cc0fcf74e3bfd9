// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-vmm with a real QEMU on an emulated host.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "child_process.h"
#include "host.h"

namespace handover::test {

class VmmClient : public testing::Test {
 protected:
  using json = nlohmann::json;

  void SetUp() override;
  void TearDown() override;

  /// Runs a guest of that configuration, whose relative paths begin in the host's directory, and
  /// does not wait for it.
  void launch(json config);
  /// The same, and waits until it runs.
  void run(json config);
  /// `handover-vmm check` on that configuration: its exit code. What it says is in the log.
  int check(const json& config);
  /// Is it there, and no zombie that waits for its parent?
  [[nodiscard]] static bool alive(pid_t process);
  /// A guest that is its firmware, with these devices. `command`: seconds that QEMU has for each.
  /// Many, unless it is to hang: the machine that runs the tests may be busy.
  void start(const std::vector<std::string>& devices = {},
             const std::vector<std::string>& needs = {}, int command = 30);
  /// The configuration tests/bus/vmm/NAME.json, and the disks that it names.
  json configuration(const std::string& name);

  [[nodiscard]] std::string log() const { return host.directory().path("vmm.log"); }
  [[nodiscard]] bool says(const std::string& text) const;
  /// What the guest wrote on its serial port.
  [[nodiscard]] std::string serial() const;
  /// Waits until it has written more, and all of it is K.
  void expect_disk_good();
  [[nodiscard]] json told() const;
  [[nodiscard]] bool runs() const;
  [[nodiscard]] pid_t qemu_process() const { return told()["pid"].get<pid_t>(); }
  [[nodiscard]] bool preserved();

  /// A command over a monitor of the operator's own, own.qmp: what QEMU returns, or its error.
  json own(const std::string& command, const json& arguments = json::object());
  [[nodiscard]] std::string run_state() { return own("query-status")["status"]; }
  /// Of the QEMU that the tests use.
  int major_version();

  /// The guest, and an update that is held up when it is frozen: a client that it needs comes
  /// after.
  ScriptedClient& below();
  void freeze();
  void hold_when_frozen();

  void expect_goes_on_after_cancel();
  /// Prepares an update, and cancels it.
  void expect_prepared_and_cancelled();
  /// An update that is refused for that reason; the guest goes on in the QEMU that it has.
  void expect_refused(const std::string& reason);
  /// An update, after which it goes on in another QEMU.
  void expect_carried();

  static constexpr int command_of_hanging = 15;
  std::string qemu;
  Host host;
  std::optional<ChildProcess> vmm;
  std::optional<int> status;
  rlim_t most_file_bytes = RLIM_INFINITY;  ///< `ulimit -f`
  /// As in its unit: it may not look into processes of other users.
  bool may_trace = true;
  /// The directory of its status is a file system of its own, without room; told() says nothing.
  bool status_is_full = false;
  static constexpr int may_not_mount = 123;  ///< exit code then

 private:
  ScriptedClient* below_ = nullptr;
};

}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// An emulated host with a client and, as its gate, the real handover-fleet.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "child_process.h"
#include "host.h"
#include "server_process.h"

namespace handover::test {

struct Said {
  int code = -1;
  std::string text;  ///< stdout and stderr
};

class Gate : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    ScriptedClient::Setup setup;
    setup.name = "worker";
    host.add(setup);
    ASSERT_TRUE(host.start_clients());
  }
  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "---- the gate's log\n%s\n", text_of(log()).c_str());
    gate.reset();
  }

  [[nodiscard]] std::string log() const { return host.directory().path("fleet.log"); }
  [[nodiscard]] std::vector<std::string> environment() const {
    return {"DBUS_SYSTEM_BUS_ADDRESS=" + host.bus_address().text,
            "HANDOVER_PRIVATE_SOCKET=",
            "STATE_DIRECTORY=" + host.directory().path("fleet-state"),
            "RUNTIME_DIRECTORY=" + host.directory().path("fleet-run"),
            "HANDOVER_FLEET_STATUS=" + host.directory().path("fleet-run/status.json"),
            "no_proxy=*"};
  }
  void start(const nlohmann::json& config) {
    configuration = host.directory().write("fleet.json", config.dump());
    mkdir(host.directory().path("fleet-state").c_str(), 0755);
    mkdir(host.directory().path("fleet-run").c_str(), 0755);
    start_again();
  }
  /// `kill -9` of the process, if it runs; what it left on disk stays.
  void start_again() {
    gate.reset();
    ChildProcess::Setup setup;
    setup.argv = {HANDOVER_FLEET_PROGRAM, "run", "--config", configuration};
    setup.environment = environment();
    setup.log = log();
    gate.emplace(host.loop(), setup, [](int) {});
    // The daemon has seen the last one go.
    ASSERT_TRUE(host.run_until([&] { return is_connected() && !status().empty(); }));
    host.observer().clear();
  }
  [[nodiscard]] bool is_connected() {
    for (const auto& client : host.list_clients()) {
      if (client.name == "fleet") return !client.bus_name.empty() && client.bus_name != last_name;
    }
    return false;
  }
  [[nodiscard]] nlohmann::json status() const {
    const auto text = text_of(host.directory().path("fleet-run/status.json"));
    auto document = nlohmann::json::parse(text, nullptr, false);
    return document.is_object() ? document : nlohmann::json::object();
  }
  [[nodiscard]] bool comes_to(const std::string& phase) {
    return host.run_until([&] { return status().value("phase", "") == phase; });
  }
  /// The command line, as a person uses it; the host goes on meanwhile.
  Said run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), HANDOVER_FLEET_PROGRAM);
    return run_program(arguments);
  }
  Said run_program(const std::vector<std::string>& arguments) {
    const auto file = host.directory().path("command.log");
    std::remove(file.c_str());
    std::optional<int> ended;
    ChildProcess::Setup setup;
    setup.argv = arguments;
    setup.environment = environment();
    setup.log = file;
    const ChildProcess process(host.loop(), setup, [&](int how) { ended = how; });
    EXPECT_TRUE(host.run_until([&] { return ended.has_value(); }));
    return {ended && WIFEXITED(*ended) ? WEXITSTATUS(*ended) : -1, text_of(file)};
  }
  /// It ends before anybody is frozen.
  std::string refused_update() {
    host.observer().clear();
    EXPECT_TRUE(host.update().error.empty());
    const auto end = host.finished();
    EXPECT_EQ(end.outcome, "failed");
    for (const auto& state : host.observer().states()) EXPECT_NE(state, "freezing");
    host.expect_calm();
    return end.reason;
  }

  Host host;
  std::string configuration, last_name;
  std::optional<ChildProcess> gate;
};

/// What `date` says of a time so many seconds from now, in the host's time zone.
inline std::string in_seconds(int seconds) {
  const auto at = time(nullptr) + seconds;
  std::array<char, 64> text = {};
  tm parts = {};
  gmtime_r(&at, &parts);
  strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

inline nlohmann::json fleetlock(const FleetLockServer& server) {
  return {{"kind", "fleetlock"}, {"url", server.url()}, {"group", "web"},
          {"id", "me"},          {"proxy", "none"},     {"timeout-seconds", 5}};
}

}  // namespace handover::test

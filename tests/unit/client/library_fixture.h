// SPDX-License-Identifier: LGPL-2.1-or-later
// libhandover against a daemon on a private socket.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <handover/handover.hpp>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "fake_daemon.h"
#include "support/temporary_directory.h"

namespace handover::client {

class Library : public testing::Test {
 protected:
  void SetUp() override {
    setenv("HANDOVER_PRIVATE_SOCKET", path_.c_str(), 1);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + directory_.path("no-bus")).c_str(), 1);
    daemon_ = std::make_unique<test::FakeDaemon>(path_);
  }

  Result<Connection> connect(std::uint64_t timeout_usec = 60'000'000) {
    return Connection::open({0, timeout_usec, nullptr});
  }
  /// Runs the connection until `until` holds, for at most a minute.
  template <typename Until>
  static bool run(Connection& connection, Until until) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!until()) {
      if (std::chrono::steady_clock::now() > deadline || connection.wait(20'000) < 0) return false;
    }
    return true;
  }

  /// The client's answer to `method`, with the connection running until it is there.
  std::optional<test::FakeDaemon::Answer> answer_to(Connection& connection,
                                                    const std::string& method) {
    daemon_->call_client(method);
    std::optional<test::FakeDaemon::Answer> answer;
    std::atomic<bool> over = false;
    std::thread waiter([&] {
      answer = daemon_->wait_for_answer();
      over = true;
    });
    run(connection, [&] { return over.load(); });
    waiter.join();
    return answer;
  }

  handover::test::TemporaryDirectory directory_;
  const std::string path_ = directory_.path("private");
  std::unique_ptr<test::FakeDaemon> daemon_;
};

}  // namespace handover::client

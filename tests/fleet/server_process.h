// SPDX-License-Identifier: LGPL-2.1-or-later
// Servers of a test: processes that are killed with it.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/temporary_directory.h"

namespace handover::test {

/// A process that is killed, and waited for, at its owner's end.
class ServerProcess {
 public:
  ServerProcess() = default;
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess() { kill_now(); }

  /// Its output goes to the file `log`.
  void start(const std::vector<std::string>& arguments, const std::string& log);
  void kill_now();
  [[nodiscard]] bool running() const { return pid_ > 0; }

 private:
  pid_t pid_ = -1;
};

/// fleetlock_server.py
class FleetLockServer {
 public:
  explicit FleetLockServer(std::string scheme = "http") : scheme_(std::move(scheme)) {}

  /// Again: at the same port, with the same holders.
  void start();
  void stop() { process_.kill_now(); }
  void behave(const nlohmann::json& behaviour) const;
  [[nodiscard]] std::string url() const { return scheme_ + "://127.0.0.1:" + port_; }
  [[nodiscard]] std::string holder(const std::string& group) const;
  /// All requests so far.
  [[nodiscard]] std::vector<nlohmann::json> requests() const;
  [[nodiscard]] const TemporaryDirectory& directory() const { return directory_; }

 private:
  std::string scheme_, port_;
  TemporaryDirectory directory_;
  ServerProcess process_;
};

/// A port of loopback that was free just now.
int free_port();
/// Waits, up to a minute, until somebody accepts connections there.
bool accepts(int port);

}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// A real etcd of one or more members over loopback.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server_process.h"
#include "support/temporary_directory.h"

namespace handover::test {

class Etcd {
 public:
  explicit Etcd(std::size_t members = 1);

  /// Is etcd-server installed?
  static bool there();
  /// Starts all, and waits until they serve; false if they do not.
  [[nodiscard]] bool start();
  /// `kill -9`
  void kill_member(std::size_t i) { members_[i]->process.kill_now(); }
  /// With what it had on disk.
  [[nodiscard]] bool start_member(std::size_t i);
  [[nodiscard]] std::vector<std::string> endpoints() const;

 private:
  struct Member {
    int client = 0, peer = 0;
    ServerProcess process;
  };
  void launch(std::size_t i);
  /// It answers a transaction, so that the cluster has a leader.
  bool serves(std::size_t i) const;

  TemporaryDirectory directory_;
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace handover::test

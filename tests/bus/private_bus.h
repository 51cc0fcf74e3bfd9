// SPDX-License-Identifier: LGPL-2.1-or-later
// A dbus-daemon of one test, with the limits of a system bus and none of its policy.
#pragma once

#include <memory>
#include <string>

#include "child_process.h"
#include "event_loop.h"
#include "support/temporary_directory.h"

namespace handover::test {

class PrivateBus {
 public:
  /// Returns when clients can connect. Throws std::runtime_error with the bus's own words.
  PrivateBus(EventLoop& loop, const TemporaryDirectory& directory);

  [[nodiscard]] const std::string& address() const { return address_; }
  /// The bus dies and comes back at the same address: everybody's connection is lost.
  void restart();

 private:
  void start();

  EventLoop& loop_;
  const TemporaryDirectory& directory_;
  std::string address_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace handover::test

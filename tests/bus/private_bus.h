// SPDX-License-Identifier: LGPL-2.1-or-later
// A dbus-daemon of one test, with the limits of a system bus and none of its policy.
#pragma once

#include <csignal>
#include <memory>
#include <string>

#include "child_process.h"
#include "event_loop.h"
#include "support/temporary_directory.h"

namespace handover::test {

class PrivateBus {
 public:
  /// 0: the built-in ones of a system bus.
  struct Limits {
    unsigned replies = 0;  ///< max_replies_per_connection, 128: how many answers one may wait for
    unsigned descriptors = 0;  ///< max_outgoing_unix_fds, 64: how many may be on the way to one
  };

  /// Returns when clients can connect. Throws std::runtime_error with the bus's own words.
  PrivateBus(EventLoop& loop, const TemporaryDirectory& directory)
      : PrivateBus(loop, directory, Limits()) {}
  PrivateBus(EventLoop& loop, const TemporaryDirectory& directory, const Limits& limits);

  [[nodiscard]] const std::string& address() const { return address_; }
  /// The bus dies and comes back at the same address: everybody's connection is lost.
  void restart();
  /// The bus hangs: it is there, and answers nobody.
  void stop() { process_->signal(SIGSTOP); }
  void go_on() { process_->signal(SIGCONT); }

 private:
  void start();

  EventLoop& loop_;
  const TemporaryDirectory& directory_;
  std::string address_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// What goes over from one bus connection to the next: a client, a watch.
#pragma once

#include <systemd/sd-bus.h>

#include <string>

#include "handover/handover.h"

namespace handover::client {

class Follower {
 public:
  /// Another bus connection: its objects and matches are made on it. A negative errno otherwise.
  virtual int follow_to(sd_bus* bus) = 0;
  /// The daemon can be called, and may be another process than before. May free this.
  virtual void daemon_came() = 0;
  /// May free this.
  virtual void daemon_went(const handover_error& error) = 0;
  /// This process made that session just now, or ended it: an older answer does not count.
  virtual void session_settled(const std::string& /*session*/) {}
  /// What it retrieves is of the earlier kernel.
  [[nodiscard]] virtual bool is_restoring() const { return false; }
  /// The client at that path has restored.
  virtual void restore_answered(const std::string& /*path*/) {}
  /// Is it the client of that name?
  [[nodiscard]] virtual bool is_client(const std::string& /*name*/) const { return false; }

 protected:
  Follower() = default;
  Follower(const Follower&) = default;
  Follower& operator=(const Follower&) = default;
  ~Follower() = default;
};

}  // namespace handover::client

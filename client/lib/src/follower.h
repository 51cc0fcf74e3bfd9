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
  /// A session was made for the client of that name, or ended, by this process.
  virtual void session_made(const std::string& /*session*/, const std::string& /*client*/) {}
  virtual void session_ended(const std::string& /*session*/) {}
  /// Is it the client of that name?
  [[nodiscard]] virtual bool is_client(const std::string& /*name*/) const { return false; }

 protected:
  Follower() = default;
  Follower(const Follower&) = default;
  Follower& operator=(const Follower&) = default;
  ~Follower() = default;
};

}  // namespace handover::client

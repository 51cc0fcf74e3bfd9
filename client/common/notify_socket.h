// SPDX-License-Identifier: LGPL-2.1-or-later
// The socket to which COMMAND speaks in systemd's place.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <functional>
#include <handover/handover.hpp>
#include <string>

#include "loop.h"

namespace handover::common {

class NotifySocket {
 public:
  NotifySocket() = default;
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  /// Calls `ready` each time somebody of that user's, or root, says READY=1. What else is said goes
  /// on to systemd.
  client::Result<void> open(sd_event* event, uid_t user, std::function<void()> ready);
  /// $NOTIFY_SOCKET for COMMAND.
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  void receive();

  client::Fd socket_;
  std::string address_;
  uid_t user_ = 0;
  std::function<void()> ready_;
  Source source_;
};

}  // namespace handover::common

// SPDX-License-Identifier: LGPL-2.1-or-later
// A peer of the private socket that writes its own bytes: what a D-Bus library would not send.
#pragma once

#include <string>

#include "connection.h"
#include "core/unique_fd.h"
#include "event_loop.h"

namespace handover::test {

class RawPeer {
 public:
  /// Connects and authenticates. Throws std::system_error.
  RawPeer(EventLoop& loop, const std::string& path);

  /// Manager.CreateSession(name, {}) with the bytes of `name` as they are. Of the answer only
  /// `error` and `message` are filled in.
  Answer create_session(const std::string& name);

 private:
  void send(const std::string& bytes) const;
  /// Runs the loop until `size` bytes are there.
  std::string receive(std::size_t size);
  std::string receive_line();

  EventLoop& loop_;
  UniqueFd socket_;
  std::uint32_t serial_ = 0;
};

}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// The private socket: root's clients connect to it before there is a bus. Mode 0600. And the one of
// a group, by an access control list, for the clients of its members: apart, so that they cannot
// crowd root out.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/unique_fd.h"
#include "engine/engine.h"
#include "system/loop.h"

namespace handover::bus {

/// Who is behind a connection, as the kernel says; access_denied if that cannot be found out.
struct Peer {
  UniqueFd socket;
  uid_t uid = 0;
  Result<engine::Caller> caller;  ///< its `connection` is for the receiver to fill in
};

/// By name or number. invalid_argument: there is none.
Result<gid_t> group_of(const std::string& name);

class PrivateSocket {
 public:
  explicit PrivateSocket(system::Loop& loop) : loop_(loop) {}
  PrivateSocket(const PrivateSocket&) = delete;
  PrivateSocket& operator=(const PrivateSocket&) = delete;

  /// Makes the socket, in place of one that is left over. From now on clients can connect: they
  /// wait until open(). io.
  Result<void> listen(const std::string& path, std::optional<gid_t> group = {});
  [[nodiscard]] bool listens() const { return static_cast<bool>(socket_); }
  /// Accepts those who wait, and all who come. `accepted` runs from the loop. Who cannot be told
  /// apart for the moment is closed, to connect again.
  Result<void> open(std::function<void(Peer)> accepted);

 private:
  struct Unref {
    void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
  };
  static int on_connection(sd_event_source*, int fd, std::uint32_t, void* userdata);
  void pause(int sys_errno);

  system::Loop& loop_;
  UniqueFd socket_;
  std::function<void(Peer)> accepted_;
  std::unique_ptr<sd_event_source, Unref> source_;
  system::Timer pause_;
  bool told_ = false;  ///< the log knows why connections wait
};

}  // namespace handover::bus

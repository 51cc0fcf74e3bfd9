// SPDX-License-Identifier: LGPL-2.1-or-later
// A connection on which org.handover1 is served: the system bus, or one peer of the private socket.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/call_queue.h"
#include "bus/quota.h"
#include "bus/sd_bus.h"
#include "bus/unread.h"
#include "engine/engine.h"

namespace handover::bus {

class Server;

/// What the vtables of its objects have as user data. It does not move.
struct Link {
  Server& server;
  BusPtr bus;
  std::unique_ptr<CallQueue> calls;
  std::vector<SlotPtr> slots;  ///< vtables and matches, gone before the bus
  std::string id;              ///< "system", or "direct-N"
  bool direct = false;
  Unread unread;
  Quota::Share share;  ///< of the connections, if this is a direct one
  /// Who is behind a direct connection; access_denied if that cannot be found out.
  Result<engine::Caller> peer = fail(ErrorCode::access_denied, "Nobody is behind it.");

  Link(Server& served, system::Loop& loop, BusPtr connection)
      : server(served),
        bus(std::move(connection)),
        calls(std::make_unique<CallQueue>(loop, bus.get())),
        unread(bus.get()) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { slots.clear(); }
};

/// All that there are.
struct Links {
  std::unique_ptr<Link> bus;  ///< nullptr: not now
  std::map<std::string, std::unique_ptr<Link>> peers;

  /// That of a connection: a unique bus name, or "direct-N". nullptr: it is gone.
  [[nodiscard]] Link* find(const std::string& connection) const {
    if (connection.starts_with(':')) return bus.get();
    const auto peer = peers.find(connection);
    return peer == peers.end() ? nullptr : peer->second.get();
  }
};

inline Link& link_of(void* userdata) { return *static_cast<Link*>(userdata); }

}  // namespace handover::bus

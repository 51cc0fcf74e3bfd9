// SPDX-License-Identifier: LGPL-2.1-or-later
// A client of ours at handoverd: which of its functions answer which call.
#pragma once

#include <systemd/sd-daemon.h>

#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <utility>

#include "log.h"
#include "preservation.h"

namespace handover::common {

/// Registers `owner` under that name. Its on_prepare(), on_freeze(), on_thaw(), on_restore(),
/// on_registered() and on_disconnected() are called from the loop while the client lives, which it
/// has to outlive; it makes this function its friend.
template <typename Owner>
client::Result<client::Client> register_owner(Owner* owner, client::Connection& connection,
                                              const std::string& name,
                                              const client::Client::Options& options) {
  client::Client::Callbacks callbacks;
  callbacks.prepare = [owner](client::Call call) { owner->on_prepare(std::move(call)); };
  callbacks.freeze = [owner](client::Call call) { owner->on_freeze(std::move(call)); };
  callbacks.thaw = [owner](client::Call call) { owner->on_thaw(std::move(call)); };
  callbacks.restore = [owner](client::Call call) { owner->on_restore(std::move(call)); };
  callbacks.registered = [owner](client::Client::State state) { owner->on_registered(state); };
  callbacks.disconnected = [owner](const client::Error& error) { owner->on_disconnected(error); };
  return client::Client::register_client(connection, name, options, std::move(callbacks));
}

/// Gives up the session and the registration, if there is anybody to tell: a connection has a
/// client.
inline void leave_handoverd(client::Connection& connection, Preservation& preservation,
                            std::optional<client::Client>& client) {
  if (!connection.connected()) return;
  preservation.give_up();
  if (auto left = client->unregister(); !left) say(SD_NOTICE, left.error().message);
}

}  // namespace handover::common

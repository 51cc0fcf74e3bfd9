// SPDX-License-Identifier: LGPL-2.1-or-later
// Which sessions the daemon holds for the clients of a connection, as far as this process knows.
#include <cstring>

#include "connection.h"

using handover::client::Follower;
using handover::client::properties_interface;
using handover::client::session_interface;
namespace sd = handover::client::sd;

namespace {

/// Reads the client of a session that this kernel made; "" if it has none.
int read_client(sd_bus_message* properties, std::string* ret) {
  std::string client;
  int incoming = 0;
  int r = sd_bus_message_enter_container(properties, SD_BUS_TYPE_ARRAY, "{sv}");
  while (r >= 0 &&
         (r = sd_bus_message_enter_container(properties, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
    const char* key = nullptr;
    r = sd_bus_message_read(properties, "s", &key);
    if (r < 0) return r;
    const char* text = nullptr;
    if (strcmp(key, "Client") == 0) {
      r = sd_bus_message_read(properties, "v", "s", &text);
      if (r >= 0) client = text;
    } else if (strcmp(key, "Incoming") == 0) {
      r = sd_bus_message_read(properties, "v", "b", &incoming);
    } else {
      r = sd_bus_message_skip(properties, "v");
    }
    if (r >= 0) r = sd_bus_message_exit_container(properties);
  }
  if (r >= 0 && incoming == 0) *ret = client;
  return r;
}

}  // namespace

void handover_connection::session_held(const std::string& session, const std::string& client) {
  clientless_.erase(session);
  sessions_[session] = client;
  for (Follower* follower : followers_) follower->session_settled(session);
}

void handover_connection::session_ended(const std::string& session) {
  clientless_.erase(session);
  sessions_.erase(session);
  for (Follower* follower : followers_) follower->session_settled(session);
}

bool handover_connection::find_client_of(const std::string& session, const std::string& path) {
  if (sessions_.count(session) != 0) return true;
  for (const Follower* follower : followers_) {
    if (follower->is_restoring()) return false;  // every call costs time now; most end with Restore
  }
  sd::Message call;
  int r = new_call(path.c_str(), properties_interface, "GetAll", &call, nullptr);
  if (r >= 0) r = sd_bus_message_append(call.get(), "s", session_interface);
  if (r < 0) return false;
  if (!clientless_.insert(session).second) return true;
  r = send(
      call.get(),
      [this, session](int result, sd_bus_message* reply, handover_error*) {
        std::string client;
        if (clientless_.erase(session) == 0) return;  // made or ended meanwhile
        if (result < 0 || read_client(reply, &client) < 0 || client.empty()) return;
        session_held(session, client);
      },
      nullptr, nullptr);
  if (r < 0) clientless_.erase(session);
  return r >= 0;
}

void handover_connection::restore_answered(const std::string& path) {
  for (Follower* follower : followers_) follower->restore_answered(path);
}

std::set<std::string> handover_connection::take_sessions_of(const std::string& client) {
  std::set<std::string> taken;
  for (auto held = sessions_.begin(); held != sessions_.end();) {
    if (held->second == client) {
      taken.insert(held->first);
      held = sessions_.erase(held);
    } else {
      ++held;
    }
  }
  return taken;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
// A registered client: its object on the bus, and its registration, renewed as often as need be.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "connection.h"
#include "handover/handover.h"
#include "sd.h"

struct handover_client {
 public:
  handover_client(handover_connection* connection, std::string name,
                  const handover_client_options* options,
                  const handover_client_callbacks* callbacks, void* userdata);
  handover_client(const handover_client&) = delete;
  handover_client& operator=(const handover_client&) = delete;
  ~handover_client();

  int register_first(handover_error* error);
  int unregister(handover_error* error);
  /// Makes the object that implements org.handover1.Client appear on `bus`.
  int export_on(sd_bus* bus);
  /// Registers without waiting; the answer comes to on_registered().
  void register_again();
  void tell_disconnected(const handover_error& error);

  /// A session of this client's was made, or ended, by its own process.
  void session_made(const std::string& session) {
    sessions_.insert(session);
    doubted_.erase(session);
  }
  void session_ended(const std::string& session) {
    sessions_.erase(session);
    doubted_.erase(session);
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] handover_client_state state() const { return state_; }

 private:
  friend struct handover_client_vtable;

  int make_registration(handover::client::sd::Message* ret, handover_error* error);
  int read_state(sd_bus_message* reply);
  void registration_failed(const handover_error& error);

  void look_for_sessions();
  void tell_lost(const std::set<std::string>& there);

  static int on_registered(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int on_sessions(sd_bus_message* message, void* userdata, sd_bus_error* error);

  handover_connection* connection_;  // a reference of ours
  std::string name_;
  std::string path_;
  std::vector<std::string> needs_;
  handover_client_options options_ = {};
  handover_client_callbacks callbacks_ = {};
  void* userdata_;
  handover_client_state state_ = HANDOVER_CLIENT_NEW;
  uint64_t retry_usec_ = 0;
  std::set<std::string> sessions_;  ///< that the daemon holds, as far as this process knows
  std::set<std::string> doubted_;   ///< that it held before it was away; it is being asked
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< a callback may free us
  handover::client::sd::Slot object_, registration_, looking_;
  handover::client::sd::Source retry_;
};

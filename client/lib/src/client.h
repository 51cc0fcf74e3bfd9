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

struct handover_client final : handover::client::Follower {
 public:
  handover_client(handover_connection* connection, std::string name,
                  const handover_client_options* options,
                  const handover_client_callbacks* callbacks, void* userdata);
  handover_client(const handover_client&) = delete;
  handover_client& operator=(const handover_client&) = delete;
  ~handover_client();

  int register_first(handover_error** error);
  /// Without waiting; the answer comes to `registered` or `disconnected`.
  int register_later(handover_error** error);
  int unregister(handover_error** error);
  int unregister_later(handover_done_callback callback, void* userdata, handover_operation** ret,
                       handover_error** error);

  /// Makes the object that implements org.handover1.Client appear on `bus`.
  int follow_to(sd_bus* bus) override;
  void daemon_came() override { register_again(); }
  void daemon_went(const handover_error& error) override { tell_disconnected(error); }
  void session_settled(const std::string& session) override { doubted_.erase(session); }
  [[nodiscard]] bool is_restoring() const override { return is_restoring_; }
  void restore_answered(const std::string& path) override {
    if (path == path_) is_restoring_ = false;
  }
  [[nodiscard]] bool is_client(const std::string& name) const override { return name == name_; }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] handover_client_state state() const { return state_; }

 private:
  friend struct handover_client_vtable;

  int prepare(handover_error** error);
  int make_registration(handover::client::sd::Message* ret, handover_error** error);
  int send_registration(handover_error** error);
  void register_again();
  /// Whatever the daemon says: this client is not registered any more.
  void stop_registering();
  /// A registration that polkit thinks about comes after what is said meanwhile: it is undone when
  /// it is answered.
  void withdraw_registration();
  void registration_answered(int result, sd_bus_message* reply, handover_error* error);
  /// The call that tells the daemon; *ret stays empty if there is nothing to tell it.
  int make_unregistration(handover::client::sd::Message* ret, handover_error** error);
  int read_state(sd_bus_message* reply);
  void registration_failed(const handover_error& error);
  void tell_disconnected(const handover_error& error);

  void look_for_sessions();
  void look_for_next_session();
  /// The answer about `asked_`. May free this.
  void session_answered(sd_bus_message* reply);

  /// On its way to the daemon, or on the way back.
  struct Registration {
    handover_client* client;  ///< NULL: nobody waits for it
    bool withdrawn = false;
  };

  handover_connection* connection_;  // a reference of ours
  std::string name_;
  std::string path_;
  std::vector<std::string> needs_;
  handover_client_options options_ = {};
  handover_client_callbacks callbacks_ = {};
  void* userdata_;
  handover_client_state state_ = HANDOVER_CLIENT_NEW;
  bool is_restoring_ = false;  ///< registered so, and has not answered Restore
  uint64_t retry_usec_ = 0;
  bool name_taken_ = false;  ///< another one is registered by our name: the daemon said so last
  std::set<std::string> doubted_;  ///< sessions that the daemon held before it was away
  std::string asked_;              ///< the one of them that it is asked about
  std::shared_ptr<Registration> registration_;  ///< empty: none is on its way
  bool was_registered_ = false;
  handover::client::sd::Slot object_, looking_;
  handover::client::sd::Source retry_;
};

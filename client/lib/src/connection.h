// SPDX-License-Identifier: LGPL-2.1-or-later
// A connection to the daemon that is made again when the daemon or the bus goes away.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "connector.h"
#include "handover/handover.h"
#include "sd.h"

struct handover_connection {
 public:
  static int open(unsigned flags, uint64_t timeout_usec, sd_event* event, handover_connection** ret,
                  handover_error* error);
  handover_connection(const handover_connection&) = delete;
  handover_connection& operator=(const handover_connection&) = delete;

  void ref() { ++references_; }
  void unref();

  [[nodiscard]] bool connected() const;
  [[nodiscard]] sd_bus* bus() const { return connected() ? link_.bus.get() : nullptr; }
  [[nodiscard]] const char* destination() const;
  [[nodiscard]] sd_event* event() const { return event_.get(); }
  /// Did the daemon, and nobody else, send this message?
  [[nodiscard]] bool is_from_daemon(sd_bus_message* message) const;

  int fd() const;
  int process();
  int wait(uint64_t timeout_usec);
  int set_call_timeout(uint64_t usec);
  /// Makes the descriptor readable: something changed outside the loop that process() must see.
  void wake();

  void add(handover_client* client) { clients_.push_back(client); }
  void remove(handover_client* client);
  /// A session was made for the client of that name, or ended, over this connection.
  void session_made(const std::string& session, const std::string& client);
  void session_ended(const std::string& session);

  /// A method call to the daemon, made and sent by the caller. -ENOTCONN while there is none.
  int new_call(const char* path, const char* interface, const char* method,
               handover::client::sd::Message* ret, handover_error* error);
  /// Sends it and waits for the answer. `ret` may be NULL.
  int call(sd_bus_message* message, handover::client::sd::Message* ret, handover_error* error);

 private:
  handover_connection() = default;
  ~handover_connection();

  int connect_first(uint64_t timeout_usec, handover_error* error);
  int adopt(handover::client::Link link);
  void begin_reconnect();
  int reconnect_in(uint64_t usec);
  void reconnect_failed(int code, const char* message);
  template <typename Tell>
  void for_each_client(const Tell& tell);
  void lost(int code, const char* message);
  void tell_registered();

  static int on_disconnected(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error* error);

  unsigned references_ = 1;
  unsigned flags_ = 0;
  uint64_t call_timeout_usec_ = UINT64_C(300'000'000);
  bool own_loop_ = false;
  handover::client::sd::Event event_;
  handover::client::sd::Fd wake_fd_;
  handover::client::sd::Source wake_, reconnect_;
  handover::client::Link link_;
  handover::client::sd::Slot disconnected_slot_, changed_slot_;
  std::unique_ptr<handover::client::Connector> connector_;
  std::vector<handover_client*> clients_;
};

// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon says to everybody, for programs that only look.
#pragma once

#include <cstdint>
#include <string>

#include "connection.h"
#include "follower.h"
#include "handover/handover.h"
#include "sd.h"

struct handover_watch final : handover::client::Follower {
 public:
  handover_watch(handover_connection* connection, const handover_watch_callbacks* callbacks,
                 void* userdata);
  handover_watch(const handover_watch&) = delete;
  handover_watch& operator=(const handover_watch&) = delete;
  ~handover_watch();

  /// What daemon_came() and follow_to() do for a later connection.
  int start(handover_error** error);

  int follow_to(sd_bus* bus) override;
  void daemon_came() override;
  void daemon_went(const handover_error& error) override;

 private:
  int subscribe();
  // Each calls back last of all: the callback may free this.
  void on_status_read(sd_bus_message* reply);
  void on_signal(sd_bus_message* message);
  void on_properties(sd_bus_message* message);
  void refused(int code, const char* name, const char* message);
  /// Reads an a{sv}; a negative errno if it is none.
  int read_properties(sd_bus_message* message);

  handover_connection* connection_;  // a reference of ours
  handover_watch_callbacks callbacks_;
  void* userdata_;
  handover::client::sd::Slot signals_, subscribed_, asked_;
  bool known_ = false;  ///< the daemon has said its state on this connection
  std::string state_;
  uint64_t generation_ = 0;
  std::string phase_, detail_;
  unsigned percent_ = 0;
  bool moved_ = false;     ///< state or generation, in the message that is being read
  bool advanced_ = false;  ///< the job, in that
};

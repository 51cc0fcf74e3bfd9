// SPDX-License-Identifier: LGPL-2.1-or-later
// A call of the daemon that somebody waits for without standing still.
#pragma once

#include <functional>
#include <optional>

#include "call_limit.h"
#include "handover/handover.h"
#include "sd.h"

struct handover_operation {
 public:
  /// Called once: with the reply, or with a negative errno and the error.
  using Done = std::function<void(int result, sd_bus_message* reply, handover_error* error)>;

  handover_operation(handover_connection* connection, Done done)
      : connection_(connection), done_(std::move(done)) {}
  handover_operation(const handover_operation&) = delete;
  handover_operation& operator=(const handover_operation&) = delete;
  ~handover_operation();

  int send(sd_bus* bus, sd_bus_message* message);
  /// Somebody has the handle: it outlives its end until it is given back.
  void own() { owned_ = true; }
  /// Ends it with ECANCELED. Not `tell`: nobody is called.
  void cancel(const char* message, bool tell);

 private:
  void end(int result, sd_bus_message* reply, handover_error* error);
  static int on_reply(sd_bus_message* reply, void* userdata, sd_bus_error* error);

  handover_connection* connection_;  ///< not a reference; NULL when it is over
  Done done_;
  handover::client::sd::Slot slot_;
  std::optional<handover::client::CallLimit> limit_;  ///< since it was sent
  bool owned_ = false;
};

// SPDX-License-Identifier: LGPL-2.1-or-later
// One call of the daemon's that waits for its answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "connection.h"
#include "sd.h"

struct handover_call {
 public:
  /// Reads the context (a{sv}); what it does not know is passed over. A negative errno otherwise.
  static int parse(sd_bus_message* message, handover_connection* connection,
                   std::unique_ptr<handover_call>* ret);
  handover_call(const handover_call&) = delete;
  handover_call& operator=(const handover_call&) = delete;
  ~handover_call();

  /// Answers and deletes the object.
  int done();
  int fail(const char* message);

  uint64_t generation = 0;
  uint64_t timeout_usec = 0;
  std::string kernel_release;
  std::string reason;
  bool quiesced = true;  // also if the daemon does not say so
  bool rehearsal = false;
  bool stays_prepared = false;

 private:
  handover_call() = default;

  handover::client::sd::Message message_;
  handover_connection* connection_ = nullptr;  // a reference of ours
};

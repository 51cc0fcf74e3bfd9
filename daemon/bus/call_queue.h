// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's own calls on one connection: no more unanswered at once than a bus allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>

#include "bus/sd_bus.h"
#include "system/loop.h"

namespace handover::bus {

class CallQueue {
 public:
  using Done = std::function<void(Result<void>)>;

  explicit CallQueue(system::Loop& loop) : loop_(loop) {}
  /// Those that were not sent yet end in client_gone.
  ~CallQueue();
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  /// `done` runs later, exactly once: vetoed with the sentence of an error reply, timed_out,
  /// client_gone. The time limit counts from when the call is sent.
  void send(MessagePtr message, std::uint64_t timeout_usec, Done done);

 private:
  struct Waiting {
    MessagePtr message;
    std::uint64_t timeout_usec = 0;
    Done done;
  };
  struct Call {
    CallQueue* queue = nullptr;
    Done done;
    std::uint64_t deadline_usec = 0;  ///< uptime by which an answer had to be there
  };
  static int on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*);
  static void destroy_call(void* userdata);
  static Error error_from(const sd_bus_error& error, const Call& call);
  void send_now(Waiting call);
  void gone(Done done, int sys_errno);

  system::Loop& loop_;
  std::size_t unanswered_ = 0;
  std::deque<Waiting> waiting_;
};

}  // namespace handover::bus

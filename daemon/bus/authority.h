// SPDX-License-Identifier: LGPL-2.1-or-later
// May this caller do that? Asks polkit without blocking; the message is handled again once
// answered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "bus/link.h"
#include "bus/sd_bus.h"

namespace handover::bus {

class Authority {
 public:
  enum class Verdict { yes, pending };

  /// Sees every message of the connection before its handler does; what a connection before it
  /// asked is forgotten. For a bus: peers of the private socket are never asked about.
  Result<void> attach(Link& link);

  /// yes; or pending: the handler returns 1 at once and is called again with the same message.
  /// access_denied if polkit refuses or is not there. Root, the daemon's own uid and peers of the
  /// private socket are always allowed.
  Result<Verdict> check(const Link& link, sd_bus_message* message, const engine::Caller& caller,
                        const char* action);

  /// Calls that wait for polkit, or for being handled again.
  [[nodiscard]] std::size_t open_questions() const { return questions_.size(); }

 private:
  struct Question {
    MessagePtr message;
    SlotPtr slot;
    Authority* authority = nullptr;
    std::string action;
    bool answered = false;
    bool allowed = false;
    std::string problem;
  };
  static int on_answer(sd_bus_message* reply, void* userdata, sd_bus_error*);
  static int on_message(sd_bus_message* message, void* userdata, sd_bus_error*);

  std::map<sd_bus_message*, Question> questions_;
  std::optional<Question> answered_;  ///< that of the message being handled
};

}  // namespace handover::bus

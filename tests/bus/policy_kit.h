// SPDX-License-Identifier: LGPL-2.1-or-later
// Plays polkit on the private bus.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "connection.h"
#include "event_loop.h"

namespace handover::test {

class PolicyKit {
 public:
  enum class Behaviour { allow, deny, challenge, hold, fail };
  struct Question {
    std::string subject;  ///< unique bus name of who wants to
    std::string action;
    std::map<std::string, std::string> details;
    std::string id;  ///< by which it can be cancelled
  };

  /// Returns when it has its name.
  PolicyKit(EventLoop& loop, const Address& address);

  void set(Behaviour behaviour) { behaviour_ = behaviour; }
  [[nodiscard]] const std::vector<Question>& questions() const { return questions_; }
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  /// Ids that were cancelled, in order.
  [[nodiscard]] const std::vector<std::string>& cancelled() const { return cancelled_; }
  /// Answers all that is held as `behaviour` says.
  void let_go(Behaviour behaviour);

 private:
  static int on_check(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_cancel(sd_bus_message* message, void* userdata, sd_bus_error*);
  static void answer(sd_bus_message* message, Behaviour behaviour);

  Connection connection_;
  SlotPtr slot_;
  Behaviour behaviour_ = Behaviour::allow;
  std::vector<Question> questions_;
  std::vector<MessagePtr> held_;
  std::vector<std::string> cancelled_;
};

}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Plays polkit on the private bus.
#pragma once

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
  };

  /// Returns when it has its name.
  PolicyKit(EventLoop& loop, const Address& address);

  void set(Behaviour behaviour) { behaviour_ = behaviour; }
  [[nodiscard]] const std::vector<Question>& questions() const { return questions_; }
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  /// Answers all that is held as `behaviour` says.
  void let_go(Behaviour behaviour);

 private:
  static int on_check(sd_bus_message* message, void* userdata, sd_bus_error*);
  static void answer(sd_bus_message* message, Behaviour behaviour);

  Connection connection_;
  SlotPtr slot_;
  Behaviour behaviour_ = Behaviour::allow;
  std::vector<Question> questions_;
  std::vector<MessagePtr> held_;
};

}  // namespace handover::test

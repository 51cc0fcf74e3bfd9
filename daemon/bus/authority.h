// SPDX-License-Identifier: LGPL-2.1-or-later
// May this caller do that? Asks polkit, and nobody waits for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "bus/held_call.h"
#include "bus/quota.h"
#include "bus/sd_bus.h"

namespace handover::bus {

class Authority {
 public:
  /// Shown to the administrator by polkit, and to its rules.
  using Details = std::map<std::string, std::string>;

  /// Open questions: an agent that never answers keeps its user's places and no others'. Root is
  /// not asked about.
  static constexpr Quota::Limits default_limits{4, 32, 0};
  static constexpr std::string_view member_action = "org.handover1.register";

  Authority() : Authority(default_limits) {}
  explicit Authority(const Quota::Limits& limits) : quota_(limits) {}
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  /// The connection by which polkit is asked, a new one after a loss; nullptr: none now.
  void ask_by(sd_bus* asking) { asking_ = asking; }

  /// Runs `allowed`, at once or later, or answers the call: access_denied if polkit refuses or is
  /// not there, busy if too many questions are open. Root and the daemon's own uid are always
  /// allowed. Who else has a connection of his own has it as a member of socket_group: he is
  /// allowed `member_action`, and polkit is not asked.
  void check(const HeldCallPtr& call, const char* action, const Details& details,
             std::function<void()> allowed);
  /// The caller has left: he is asked about no longer.
  void gone(const std::string& connection);
  /// All callers have.
  void all_gone();

  [[nodiscard]] std::size_t open_questions() const { return questions_.size(); }
  /// Calls that were answered with Busy.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  struct Question {
    Authority* authority = nullptr;
    std::string id;  ///< polkit's cancellation_id
    std::string action;
    HeldCallPtr call;
    Quota::Share share;
    std::function<void()> allowed;
    SlotPtr slot;
  };
  using Questions = std::list<Question>;
  static int on_answer(sd_bus_message* reply, void* userdata, sd_bus_error*);

  Result<void> ask(Question& question, const Details& details);
  void cancel(const Question& question);
  [[nodiscard]] Questions::iterator find(const Question& question);

  sd_bus* asking_ = nullptr;
  Quota quota_;
  Questions questions_;
  std::uint64_t next_id_ = 1;
  std::uint64_t refused_ = 0;
};

}  // namespace handover::bus

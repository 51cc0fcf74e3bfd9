// SPDX-License-Identifier: LGPL-2.1-or-later
// Sees every signal of the daemon: it subscribes, as `handoverctl monitor` does.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "connection.h"
#include "event_loop.h"

namespace handover::test {

struct Signal {
  std::string path;
  std::string interface;
  std::string member;                  ///< for PropertiesChanged: the property's name
  std::vector<std::string> arguments;  ///< as text; for a property its new value, if it says it
};

class Observer {
 public:
  enum class Subscription { yes, no };
  /// By path, not by sender: what the daemon says before it has its name is seen too.
  static constexpr const char* everything = "type='signal',path_namespace='/org/handover1'";

  /// `rule`: on a bus, only what matches.
  Observer(EventLoop& loop, const Address& address, Subscription subscription = Subscription::yes,
           const char* rule = everything);

  /// From now on it hears what everybody hears.
  void unsubscribe();

  /// All so far, in order; property changes too.
  [[nodiscard]] const std::vector<Signal>& signals() const { return signals_; }
  [[nodiscard]] std::vector<Signal> all(const std::string& member) const;
  /// The first `member` after those that earlier calls returned; nullopt if none comes.
  std::optional<Signal> next(const std::string& member);
  /// Waits for what the daemon has sent so far. False if it does not answer.
  [[nodiscard]] bool is_up_to_date();
  /// Forgets everything so far.
  void clear();
  /// Runs the loop until `member` was seen with `first_argument`.
  [[nodiscard]] bool wait_for(const std::string& member, const std::string& first_argument);
  /// Every value that the Manager's State had, in order.
  [[nodiscard]] std::vector<std::string> states() const;

 private:
  static int on_signal(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error*);
  void subscribe();
  void add_changes(sd_bus_message* message);

  EventLoop& loop_;
  Connection connection_;
  SlotPtr slot_;
  SlotPtr owner_slot_;
  std::vector<Signal> signals_;
  std::map<std::string, std::size_t> seen_;
};

}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Who calls on the system bus: the bus is asked once for each sender, and nobody waits for it.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <string>

#include "bus/sd_bus.h"
#include "engine/engine.h"

namespace handover::bus {

/// The bus driver knows uid and process of a sender. Until it has said so, the sender's calls are
/// held, and then handled in their order. A sender is known until it leaves the bus.
class Senders {
 public:
  /// What may be held of senders that are not known yet. The driver answers within milliseconds.
  struct Limits {
    std::size_t calls_each = 64;
    std::size_t bytes_each = std::size_t{4} << 20U;
    std::size_t bytes = std::size_t{64} << 20U;
  };

  Senders() : Senders(Limits()) {}
  explicit Senders(const Limits& limits) : limits_(limits) {}
  Senders(const Senders&) = delete;
  Senders& operator=(const Senders&) = delete;

  /// The connection by which the driver is asked, a new one after a loss; nullptr: none now. What
  /// is open is asked again.
  void ask_by(sd_bus* asking);
  /// Watches the connection by which callers call, in front of its objects. Nobody is known on it.
  Result<void> attach(sd_bus* bus);
  /// It is over, and with it everybody on it.
  void detach();

  /// Who sent a call that a handler has now. access_denied if his service cannot be found out.
  [[nodiscard]] Result<engine::Caller> caller_of(sd_bus_message* call) const;
  /// He left the bus.
  void gone(const std::string& name);

  [[nodiscard]] std::size_t held() const { return held_calls_; }
  /// Calls that were answered with Busy, since too much was held.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  struct Held {
    MessagePtr call;
    std::size_t bytes = 0;
  };
  using Calls = std::list<Held>;
  struct Sender {
    Senders* all = nullptr;
    std::string name;
    std::optional<Result<engine::Caller>> caller;  ///< absent: the driver has not answered yet
    SlotPtr question;
    /// In order: those that wait for the driver, or that sd-bus has been given once more.
    Calls calls;
    std::size_t bytes = 0;
  };
  static int on_message(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_credentials(sd_bus_message* reply, void* userdata, sd_bus_error*);

  int at_the_door(Sender& sender, sd_bus_message* call);
  Result<void> hold(Sender& sender, sd_bus_message* call);
  Calls::iterator release(Sender& sender, Calls::iterator held);
  Calls::iterator handle_again(Sender& sender, Calls::iterator held);
  void ask(Sender& sender);
  void known(Sender& sender, Result<engine::Caller> caller);
  void forget(const std::string& name, const Error& why);

  Limits limits_;
  sd_bus* asking_ = nullptr;
  sd_bus* bus_ = nullptr;
  SlotPtr filter_;
  std::map<std::string, Sender, std::less<>> senders_;  ///< by unique name; entries do not move
  std::size_t held_calls_ = 0;
  std::size_t held_bytes_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace handover::bus

// SPDX-License-Identifier: LGPL-2.1-or-later
// A D-Bus connection of a test, on the private bus or on the daemon's private socket.
#pragma once

#include <systemd/sd-bus.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "event_loop.h"

namespace handover::test {

inline constexpr const char* bus_name = "org.handover1";
inline constexpr const char* manager_path = "/org/handover1";
inline constexpr const char* manager_interface = "org.handover1.Manager";
inline constexpr const char* session_interface = "org.handover1.Session";
inline constexpr const char* job_interface = "org.handover1.Job";
inline constexpr const char* client_interface = "org.handover1.Client";

struct UnrefBus {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct UnrefMessage {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
struct UnrefSlot {
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using MessagePtr = std::unique_ptr<sd_bus_message, UnrefMessage>;
using SlotPtr = std::unique_ptr<sd_bus_slot, UnrefSlot>;

/// What a call brought: a reply or an error.
struct Answer {
  MessagePtr reply;
  std::string error;    ///< D-Bus error name, "" for a reply
  std::string message;  ///< the error's sentence

  [[nodiscard]] bool ok() const { return error.empty(); }
  /// The only string (or object path) of the reply; "" if it has none.
  [[nodiscard]] std::string text() const;
};

/// "org.handover1.Error.<name>".
std::string error_name(const std::string& name);

/// A place that a connection can be made to.
struct Address {
  std::string text;     ///< as sd_bus_set_address(3) takes it
  bool direct = false;  ///< the private socket: no bus in between, no destination
  int uid = -1;         ///< connect as this user; the test runs as root then
};

class Connection {
 public:
  using Append = std::function<int(sd_bus_message*)>;
  using Answered = std::function<void(Answer)>;

  /// Throws std::system_error if it cannot be made.
  Connection(EventLoop& loop, const Address& address);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] sd_bus* get() const { return bus_.get(); }
  [[nodiscard]] bool direct() const { return address_.direct; }
  /// "" on a direct connection.
  [[nodiscard]] std::string unique_name() const;

  /// `answered` runs later, in the loop; never if the connection is destroyed before.
  void send(const std::string& path, const std::string& interface, const std::string& member,
            const Append& append, Answered answered);
  /// Runs the loop until the answer is there; the error "no answer" if none comes.
  Answer call(const std::string& path, const std::string& interface, const std::string& member,
              const Append& append = {});
  /// The same for what changes nothing: again while the bus has no room for it.
  Answer ask(const std::string& path, const std::string& interface, const std::string& member,
             const Append& append = {});
  Answer get_property(const std::string& path, const std::string& interface,
                      const std::string& property, const char* type);

 private:
  struct Call {
    SlotPtr slot;
    Answered answered;
  };
  static int on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*);

  EventLoop& loop_;
  Address address_;
  std::unique_ptr<sd_bus, UnrefBus> bus_;
  std::vector<std::unique_ptr<Call>> calls_;  ///< destroyed before the bus
};

/// Whether the bus still knows a connection of that unique name; `by` asks.
bool on_bus(Connection& by, const std::string& unique_name);

/// Reads "a{sv}". `read` is called for each with its name and its value's type, to read the value.
void read_properties(sd_bus_message* message,
                     const std::function<void(const char* name, const char* type)>& read);

/// Append for sd_bus_message_append() with `types` and `arguments`, which must outlive the call.
template <typename... Arguments>
Connection::Append with(const char* types, Arguments... arguments) {
  return [types, arguments...](sd_bus_message* message) {
    return sd_bus_message_append(message, types, arguments...);
  };
}

}  // namespace handover::test

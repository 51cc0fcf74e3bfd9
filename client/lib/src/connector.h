// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds the daemon, by the private socket or the system bus, and waits for it without blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "sd.h"

namespace handover::client {

inline constexpr const char* service_name = "org.handover1";
inline constexpr const char* manager_path = "/org/handover1";
inline constexpr const char* manager_interface = "org.handover1.Manager";
inline constexpr const char* session_interface = "org.handover1.Session";
inline constexpr const char* properties_interface = "org.freedesktop.DBus.Properties";

/// A connection by which the daemon answers.
struct Link {
  sd::Bus bus;
  bool peer = false;  ///< private socket: no bus daemon in between
  std::string owner;  ///< unique name of the daemon; "" on a peer connection
};

/// The path of the private socket, if this process should try it.
std::optional<std::string> private_socket_path();

/// One search for the daemon, run on an event loop. `done` is called once, from the loop, never
/// from inside start(); the Connector may be destroyed in it.
class Connector {
 public:
  struct Failure {
    int code = 0;  ///< positive errno
    std::string name;
    std::string message;
  };
  struct Request {
    bool prefer_bus = false;
    std::uint64_t timeout_usec = 0;  ///< UINT64_MAX: for ever
    std::optional<std::string> private_socket;
  };
  using Done = std::function<void(std::optional<Link>, Failure)>;

  Connector(sd_event* event, Request request, Done done);
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;
  ~Connector();

  /// A negative errno if the loop refused.
  int start();

 private:
  void watch_private_directory();
  void try_private();
  void open_bus();
  void drop_bus();
  void bus_failed(int code, const std::string& name, const std::string& message);
  int ask_owner();
  int ask_activation();
  void tick();
  void schedule_tick();
  /// For what is not there yet.
  [[nodiscard]] bool waits() const { return request_.timeout_usec != 0; }
  void succeed(bool peer, std::string owner);
  void give_up_if_hopeless();
  void fail();

  static int on_owner(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int on_activated(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int on_disconnected(sd_bus_message* message, void* userdata, sd_bus_error* error);

  sd_event* event_;
  Request request_;
  Done done_;
  std::uint64_t started_ = 0;
  std::uint64_t tick_usec_;
  std::uint64_t bus_after_ = 0;  ///< CLOCK_MONOTONIC before which the bus is left alone
  bool finished_ = false;
  bool activation_asked_ = false;
  bool bus_hopeless_ = false;  ///< the bus has said for good that there is no daemon

  sd::Bus bus_;
  sd::Slot owner_slot_, activation_slot_, changed_slot_, disconnected_slot_;
  sd::Source inotify_, tick_, deadline_, defer_;
  std::optional<Link> link_;
  Failure failure_;
  std::string private_failure_;
};

}  // namespace handover::client

// SPDX-License-Identifier: LGPL-2.1-or-later
// Another host by ssh, or a machine of this host, whose handoverd is asked.
#pragma once

#include <csignal>
#include <handover/handover.hpp>
#include <optional>
#include <string>

namespace handover::ctl {

struct Remote {
  enum class Kind { none, host, machine };
  Kind kind = Kind::none;
  std::string name;  ///< "[USER@]HOST[:PORT]", or a machine's name

  explicit operator bool() const { return kind != Kind::none; }
};

/// What is changed for this process, and nobody else is to inherit: by go_to(), and that a file
/// which grows too large (`ulimit -f`) is an error, and no signal that ends it.
class Environment {
 public:
  /// Keeps what there is now.
  Environment();
  void put_back() const;

 private:
  std::optional<std::string> socket_, bus_;
  sighandler_t size_signal_;
};

/// The address of its system bus, as sd_bus_set_address(3) takes it and as
/// sd_bus_open_system_remote and sd_bus_open_system_machine(3) make it. Each connection starts an
/// ssh; with `later` after a pause, so that a host which is down is not asked all the time.
/// InvalidArgument: the name is none.
client::Result<std::string> bus_address_of(const Remote& remote, bool later);

/// From here on every connection of this process goes there, and none to this host's daemon.
/// An error if that cannot work: the name is none, there is no ssh.
client::Result<void> go_to(const Remote& remote);
/// The first connection was made: what follows are attempts to get it back.
void stay_with(const Remote& remote);

/// `error`, which the first connection ended with, in words that say where to look.
client::Error not_reached(const Remote& remote, const client::Error& error);

/// Descriptors do not pass through ssh: `what` cannot be done there.
client::Error needs_descriptors(const Remote& remote, const std::string& what);

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exit_code.h"

#include <array>

namespace handover::ctl {
namespace {

struct Entry {
  std::string_view name;
  ExitCode code;
};

// docs/dbus.md, Errors. What is not here is a plain failure.
constexpr std::array ours = {
    Entry{"InvalidArgument", ExitCode::usage},
    Entry{"InvalidName", ExitCode::usage},
    Entry{"NoSuchSession", ExitCode::not_found},
    Entry{"NoSuchClient", ExitCode::not_found},
    Entry{"NoSuchToken", ExitCode::not_found},
    Entry{"NoSuchBackend", ExitCode::not_found},
    Entry{"NoSuchUpdate", ExitCode::not_found},  // ours, not the daemon's
    Entry{"KernelNotFound", ExitCode::not_found},
    Entry{"AccessDenied", ExitCode::access_denied},
    Entry{"Busy", ExitCode::busy},
    Entry{"NotAKernel", ExitCode::update_failed},
    Entry{"KernelIncompatible", ExitCode::update_failed},
    Entry{"ModuleMissing", ExitCode::update_failed},
    Entry{"KexecLoadFailed", ExitCode::update_failed},
    Entry{"KexecFailed", ExitCode::update_failed},
    Entry{"Vetoed", ExitCode::update_failed},
    Entry{"TimedOut", ExitCode::update_failed},
    Entry{"ClientGone", ExitCode::update_failed},
    Entry{"DependencyCycle", ExitCode::update_failed},
    Entry{"UnknownDependency", ExitCode::update_failed},
    Entry{"Cancelled", ExitCode::cancelled},
};

constexpr std::array buses = {
    Entry{"AccessDenied", ExitCode::access_denied},
    Entry{"InteractiveAuthorizationRequired", ExitCode::access_denied},
    Entry{"InvalidArgs", ExitCode::usage},
    Entry{"ServiceUnknown", ExitCode::unreachable},
    Entry{"NameHasNoOwner", ExitCode::unreachable},
    Entry{"NoServer", ExitCode::unreachable},
    Entry{"NoReply", ExitCode::unreachable},
    Entry{"Disconnected", ExitCode::unreachable},
    Entry{"Timeout", ExitCode::unreachable},
    Entry{"FileNotFound", ExitCode::unreachable},
};

template <typename Table>
ExitCode look_up(const Table& table, std::string_view name) {
  for (const auto& entry : table) {
    if (entry.name == name) return entry.code;
  }
  return ExitCode::failed;
}

bool take_prefix(std::string_view& name, std::string_view prefix) {
  if (name.substr(0, prefix.size()) != prefix) return false;
  name.remove_prefix(prefix.size());
  return true;
}

}  // namespace

ExitCode exit_code_of(std::string_view name) {
  if (take_prefix(name, "org.handover1.Error.")) return look_up(ours, name);
  // The bus could not start the daemon: its own errors, and those of systemd's activation.
  if (take_prefix(name, "org.freedesktop.DBus.Error.Spawn.")) return ExitCode::unreachable;
  if (take_prefix(name, "org.freedesktop.systemd1.")) return ExitCode::unreachable;
  if (take_prefix(name, "org.freedesktop.DBus.Error.")) return look_up(buses, name);
  return ExitCode::failed;
}

ExitCode update_exit_code_of(std::string_view name) {
  const auto code = exit_code_of(name);
  return code == ExitCode::failed ? ExitCode::update_failed : code;
}

}  // namespace handover::ctl

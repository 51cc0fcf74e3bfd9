// SPDX-License-Identifier: LGPL-2.1-or-later
// The objects of org.handover1 (docs/dbus.md): where they are, and what each of them serves.
#pragma once

#include <cstdint>
#include <string>

#include "bus/link.h"
#include "bus/sd_bus.h"

namespace handover::bus {

inline constexpr const char* bus_name = "org.handover1";
inline constexpr const char* manager_path = "/org/handover1";
inline constexpr const char* session_root = "/org/handover1/session";
inline constexpr const char* job_root = "/org/handover1/job";
inline constexpr const char* client_interface = "org.handover1.Client";

/// "/org/handover1/session/NAME", escaped (sd_bus_path_encode).
std::string session_path(const std::string& name);
std::string job_path(std::uint64_t id);

/// An interface that we serve. The user data of its vtable is the link.
struct Interface {
  const char* name;
  const sd_bus_vtable* vtable;
};
// One file each.
extern const Interface manager_interface;
extern const Interface session_interface;
extern const Interface job_interface;

// Each serves its objects on a link.
Result<void> add_manager_object(Link& link);
Result<void> add_session_objects(Link& link);
Result<void> add_job_objects(Link& link);
Result<void> add_log_control(Link& link);

}  // namespace handover::bus

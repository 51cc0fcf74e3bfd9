// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls to PID 1's manager (org.freedesktop.systemd1(5)).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bus/sd_bus.h"

namespace handover::bus::systemd {

inline constexpr const char* name = "org.freedesktop.systemd1";
inline constexpr const char* path = "/org/freedesktop/systemd1";
inline constexpr const char* manager = "org.freedesktop.systemd1.Manager";

/// The manager's job that kexecs the machine when all units are stopped.
inline constexpr const char* kexec_target = "kexec.target";
/// What kexec.target pulls in. It does the kexec, and PID 1 starts it also after kexec.target's own
/// job was cancelled: a dependency of what is cancelled is not (systemd,
/// job_finish_and_invalidate).
inline constexpr const char* kexec_service = "systemd-kexec.service";

/// sd-bus's own: no time limit.
inline constexpr std::uint64_t forever = UINT64_MAX;

/// Calls a method of the manager. `then` gets the reply, or an error, as long as the slot lives.
template <typename... Arguments>
Result<SlotPtr> call(sd_bus* bus, const char* member, sd_bus_message_handler_t then, void* userdata,
                     std::uint64_t limit_usec, const char* types, Arguments... arguments) {
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_call(bus, &made, name, path, manager, member);
  const MessagePtr message(made);
  if (result >= 0) result = sd_bus_message_append(made, types, arguments...);
  sd_bus_slot* slot = nullptr;
  if (result >= 0) result = sd_bus_call_async(bus, &slot, made, then, userdata, limit_usec);
  SlotPtr owned(slot);
  if (auto called = check(result, member); !called) return fail(called.error());
  return owned;
}

/// Nobody has said no: PID 1 may have been asked, or may be asked in a moment.
inline bool leaves_open(const sd_bus_error& error) {
  const std::string_view what = error.name;
  return what == SD_BUS_ERROR_NO_REPLY || what == SD_BUS_ERROR_TIMEOUT ||
         what == SD_BUS_ERROR_DISCONNECTED;
}

inline std::string sentence_of(const sd_bus_error& error) {
  return error.message != nullptr ? error.message : error.name;
}

}  // namespace handover::bus::systemd

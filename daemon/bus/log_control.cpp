// SPDX-License-Identifier: LGPL-2.1-or-later
// org.freedesktop.LogControl1 (org.freedesktop.LogControl1(5)): `systemctl service-log-level`.
#include <unistd.h>

#include <string_view>

#include "bus/arguments.h"
#include "bus/server.h"
#include "system/log.h"

namespace handover::bus {

namespace {

int get_level(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
              sd_bus_error*) {
  return sd_bus_message_append(reply, "s", std::string(log::level_name()).c_str());
}

int set_level(sd_bus* bus, const char*, const char*, const char*, sd_bus_message* value,
              void* userdata, sd_bus_error* error) {
  const auto wanted = read_text(value, "log level");
  if (!wanted) return reply_error(error, wanted.error());
  const auto& link = link_of(userdata);
  const auto caller = link.server.caller_of(link, sd_bus_get_current_message(bus));
  if (!caller) return reply_error(error, caller.error());
  if (caller->owner.uid != 0 && caller->owner.uid != geteuid()) {
    return reply_error(error, Error{ErrorCode::access_denied, "Only root may set the log level."});
  }
  if (log::set_level(*wanted)) return 0;
  return reply_error(error, Error{ErrorCode::invalid_argument,
                                  "There is no log level '" + *wanted +
                                      "'; it is one of syslog's "
                                      "('debug', 'info', 'warning', 'err', 'crit')."});
}

int get_target(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
               sd_bus_error*) {
  return sd_bus_message_append(reply, "s", log::to_journal() ? "journal" : "console");
}

int get_identifier(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
                   sd_bus_error*) {
  return sd_bus_message_append(reply, "s", "handoverd");
}

const sd_bus_vtable log_control_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", safe<get_level>, safe<set_level>, 0,
                             SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("LogTarget", "s", safe<get_target>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("SyslogIdentifier", "s", safe<get_identifier>, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END};

}  // namespace

Result<void> add_log_control(Link& link) {
  sd_bus_slot* slot = nullptr;
  const int result =
      sd_bus_add_object_vtable(link.bus.get(), &slot, "/org/freedesktop/LogControl1",
                               "org.freedesktop.LogControl1", log_control_vtable, &link);
  if (result >= 0) link.slots.emplace_back(slot);
  return check(result, "serving org.freedesktop.LogControl1");
}

}  // namespace handover::bus

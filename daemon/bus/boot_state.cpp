// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/boot_state.h"

#include <systemd/sd-daemon.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "bus/system_bus.h"
#include "bus/systemd.h"

namespace handover::bus {

namespace {

constexpr std::uint64_t answer_usec = 10'000'000;

/// systemd's own words (systemctl(1), is-system-running). In "maintenance", rescue or emergency
/// mode, workloads do not start.
bool has_started_all(std::string_view state) { return state == "running" || state == "degraded"; }

/// It is PID 1, be it not on the bus yet. On a test's bus there is none.
bool systemd_is_here() { return sd_booted() > 0 && SystemBus::is_the_hosts(); }

bool is_over(sd_bus_message* reply) {
  if (const auto* error = sd_bus_message_get_error(reply)) {
    const std::string_view name = error->name;
    const bool nobody =
        name == SD_BUS_ERROR_SERVICE_UNKNOWN || name == SD_BUS_ERROR_NAME_HAS_NO_OWNER;
    return nobody && !systemd_is_here();
  }
  const char* state = nullptr;
  return sd_bus_message_read(reply, "v", "s", &state) >= 0 && has_started_all(state);
}

int ask(sd_bus* bus, std::function<void(sd_bus_message*)> then) {
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_call(bus, &made, systemd::name, systemd::path,
                                              "org.freedesktop.DBus.Properties", "Get");
  const MessagePtr call(made);
  if (result >= 0) result = sd_bus_message_append(made, "ss", systemd::manager, "SystemState");
  return result < 0 ? result : call_then(made, answer_usec, std::move(then));
}

}  // namespace

void ask_whether_boot_is_over(system::Loop& loop, sd_bus* bus, std::function<void(bool)> answer) {
  const int asked = bus == nullptr
                        ? -ENOTCONN
                        : ask(bus, [answer](sd_bus_message* reply) { answer(is_over(reply)); });
  if (asked < 0) loop.post([answer = std::move(answer)] { answer(!systemd_is_here()); });
}

}  // namespace handover::bus

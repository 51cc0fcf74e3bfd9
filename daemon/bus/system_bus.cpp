// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/system_bus.h"

#include <cstdlib>
#include <utility>

#include "system/log.h"

namespace handover::bus {

namespace {

constexpr std::uint64_t again_usec = 1'000'000;
constexpr const char* address_variable = "DBUS_SYSTEM_BUS_ADDRESS";
constexpr const char* default_address = "unix:path=/run/dbus/system_bus_socket";

}  // namespace

bool SystemBus::is_the_hosts() { return std::getenv(address_variable) == nullptr; }

void SystemBus::connect() {
  if (auto made = make(); !made) {
    log::error("The system bus cannot be used: ", made.error().message, " It is tried again.");
    end();
  }
}

Result<void> SystemBus::make() {
  sd_bus* bus = nullptr;
  const char* address = std::getenv(address_variable);
  int result = sd_bus_new(&bus);
  bus_.reset(bus);
  if (result >= 0) result = sd_bus_set_address(bus, address != nullptr ? address : default_address);
  if (result >= 0) result = sd_bus_set_bus_client(bus, 1);
  if (result >= 0) result = sd_bus_negotiate_fds(bus, 1);
  // Early in a boot there is no socket yet: sd-bus waits until it appears.
  if (result >= 0) result = sd_bus_set_watch_bind(bus, 1);
  if (result >= 0) result = sd_bus_start(bus);
  if (result >= 0) result = sd_bus_attach_event(bus, loop_.get(), SD_EVENT_PRIORITY_NORMAL);
  sd_bus_slot* slot = nullptr;
  if (result >= 0) {
    // sd-bus makes this signal itself when the connection ends.
    result = sd_bus_match_signal_async(bus, &slot, nullptr, "/org/freedesktop/DBus/Local",
                                       "org.freedesktop.DBus.Local", "Disconnected",
                                       safe<on_disconnected>, nullptr, this);
  }
  disconnected_.reset(slot);
  if (auto connected = check(result, "connecting"); !connected) return connected;
  if (auto used = told_.made(bus); !used) return used;
  usable_ = true;
  return {};
}

int SystemBus::on_disconnected(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& self = *static_cast<SystemBus*>(userdata);
  // Not from within the connection's own callback.
  self.loop_.post([&self, bus = sd_bus_message_get_bus(message)] {
    if (self.bus_.get() != bus) return;
    log::warning("A connection to the system bus is lost; connecting again.");
    self.end();
  });
  return 0;
}

void SystemBus::end() {
  disconnected_.reset();
  if (std::exchange(usable_, false)) told_.lost();
  bus_.reset();
  again_ = loop_.after(again_usec, [this] { connect(); });
}

}  // namespace handover::bus

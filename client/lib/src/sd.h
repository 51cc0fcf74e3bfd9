// SPDX-License-Identifier: LGPL-2.1-or-later
// Owners for the libsystemd objects that the library uses.
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <memory>
#include <utility>

namespace handover::client::sd {

template <auto Unref>
struct Unreferencer {
  template <typename T>
  void operator()(T* object) const {
    Unref(object);
  }
};

/// Closed without a flush: whoever needs the last message sent flushes first.
using Bus = std::unique_ptr<sd_bus, Unreferencer<&sd_bus_close_unref>>;
using Slot = std::unique_ptr<sd_bus_slot, Unreferencer<&sd_bus_slot_unref>>;
using Message = std::unique_ptr<sd_bus_message, Unreferencer<&sd_bus_message_unref>>;
using Event = std::unique_ptr<sd_event, Unreferencer<&sd_event_unref>>;
/// Disabled before it goes: the loop may hold a reference of its own.
using Source = std::unique_ptr<sd_event_source, Unreferencer<&sd_event_source_disable_unref>>;

struct Fd {
  int value = -1;
  Fd() = default;
  explicit Fd(int fd) : value(fd) {}
  Fd(Fd&& other) noexcept : value(std::exchange(other.value, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      if (value >= 0) ::close(value);
      value = std::exchange(other.value, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (value >= 0) ::close(value);
  }
  int release() { return std::exchange(value, -1); }
};

/// An sd_bus_error, freed when it goes out of scope.
struct BusError {
  sd_bus_error value = SD_BUS_ERROR_NULL;
  BusError() = default;
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { sd_bus_error_free(&value); }
  sd_bus_error* get() { return &value; }
};

}  // namespace handover::client::sd

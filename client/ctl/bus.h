// SPDX-License-Identifier: LGPL-2.1-or-later
// Owners for sd-bus objects, and properties as plain values.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <handover/handover.hpp>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace handover::ctl {

using Message =
    std::unique_ptr<sd_bus_message, client::detail::Unreferencer<&sd_bus_message_unref>>;
using Slot = std::unique_ptr<sd_bus_slot, client::detail::Unreferencer<&sd_bus_slot_unref>>;

/// Types b, u and t, s and o, as. Properties of other types are passed over.
using Value = std::variant<bool, std::uint64_t, std::string, std::vector<std::string>>;
using Properties = std::map<std::string, Value>;

/// Reads an a{sv} where the message stands. A negative errno if it is none.
int read_properties(sd_bus_message* message, Properties* ret);

/// The property, or T() if it is not there or of another type.
template <typename T>
T property(const Properties& properties, const std::string& name) {
  const auto found = properties.find(name);
  if (found == properties.end()) return T();
  const T* value = std::get_if<T>(&found->second);
  return value ? *value : T();
}

/// What sd-bus or the daemon said, as an Error.
client::Error bus_error(int result, const sd_bus_error* error);

}  // namespace handover::ctl

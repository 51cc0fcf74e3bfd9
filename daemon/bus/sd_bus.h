// SPDX-License-Identifier: LGPL-2.1-or-later
// sd-bus objects owned by types, and the typed reading of `a{sv}` options.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>

#include "core/error.h"

namespace handover::bus {

struct Unref {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
  void operator()(sd_bus_creds* creds) const { sd_bus_creds_unref(creds); }
};
using BusPtr = std::unique_ptr<sd_bus, Unref>;
using SlotPtr = std::unique_ptr<sd_bus_slot, Unref>;
using MessagePtr = std::unique_ptr<sd_bus_message, Unref>;
using CredsPtr = std::unique_ptr<sd_bus_creds, Unref>;

inline MessagePtr reference(sd_bus_message* message) {
  return MessagePtr(sd_bus_message_ref(message));
}

/// A negative errno of sd-bus as a value.
Result<void> check(int result, const char* what);

/// Reads the string that is a name. invalid_name if it is not UTF-8, which only a peer of the
/// private socket can send: a bus throws such a sender out.
Result<std::string> read_name(sd_bus_message* message);

/// "org.handover1.Error.<name>".
std::string error_name_of(const Error& error);
/// Fills `into`; returns what a vtable handler returns.
int reply_error(sd_bus_error* into, const Error& error);
/// Answers a held message with an error.
void reply_error(sd_bus_message* to, const Error& error);

/// The options of one call. Every one must be taken, by its name and type: a left-over is an error.
class Options {
 public:
  /// Reads `a{sv}` at the message's position. Values: b, t or u, s. invalid_argument otherwise.
  static Result<Options> read(sd_bus_message* message);

  /// Leaves `into` alone if the option is absent. invalid_argument for another type.
  Result<void> take(const std::string& name, std::string& into);
  Result<void> take(const std::string& name, std::uint64_t& into);
  Result<void> take(const std::string& name, bool& into);
  [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
  /// invalid_argument names what nobody took.
  [[nodiscard]] Result<void> finish() const;

 private:
  template <typename T>
  Result<void> take_as(const std::string& name, T& into, const char* type);

  std::map<std::string, std::variant<bool, std::uint64_t, std::string>> values_;
};

}  // namespace handover::bus

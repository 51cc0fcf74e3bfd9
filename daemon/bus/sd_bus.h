// SPDX-License-Identifier: LGPL-2.1-or-later
// sd-bus objects owned by types, callbacks that exceptions do not leave, and our errors on the bus.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>

#include "core/enum_words.h"
#include "core/error.h"
#include "system/trampoline.h"

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

/// An error of the system that may be over in a moment: no memory, no descriptor.
bool will_pass(const Error& error);

/// How many bytes of strings, arrays and numbers a message has; nullopt if more than `most`, or if
/// it cannot be read. It can be read from its beginning afterwards.
std::optional<std::size_t> content_bytes(sd_bus_message* message, std::size_t most);

/// The reply to a call that an exception ended. Returns what a vtable handler returns.
int reply_internal(sd_bus_error* into) noexcept;

/// `safe<f>` is f for sd-bus, whose C frames no exception may cross, as system::trampoline<f>. To a
/// method call the error Internal is the reply.
template <auto function, typename... Arguments>
int safe(Arguments... arguments) noexcept {
  try {
    return function(arguments...);
  } catch (...) {
    system::log_exception(system::function_name<function>());
  }
  constexpr auto last = sizeof...(Arguments) - 1;
  using Last = std::tuple_element_t<last, std::tuple<Arguments...>>;
  if constexpr (std::is_same_v<Last, sd_bus_error*>) {
    return reply_internal(std::get<last>(std::tie(arguments...)));
  } else {
    return 0;
  }
}

/// Sends `call`; `then` runs once with the reply or an error, from the loop, unless the connection
/// is given up before. A negative errno: it never does.
int call_then(sd_bus_message* call, std::uint64_t limit_usec,
              std::function<void(sd_bus_message* reply)> then);

/// "org.handover1.Error.<name>".
std::string error_name_of(const Error& error);
/// Fills `into`; returns what a vtable handler returns.
int reply_error(sd_bus_error* into, const Error& error);
/// Answers a held message with an error.
void reply_error(sd_bus_message* to, const Error& error);

/// An enum's word for sd-bus, which wants a C string: the tables have literals, which end in NUL.
template <HasWords E>
const char* word_of(E value) {
  return to_string(value).data();
}

}  // namespace handover::bus

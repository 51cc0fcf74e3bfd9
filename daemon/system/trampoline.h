// SPDX-License-Identifier: LGPL-2.1-or-later
// Keeps C++ exceptions out of C callers: an exception ends the one operation, not the daemon.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace handover::system {

/// Logs the exception in flight as critical, with the operation that it ended. Only inside `catch`.
void log_exception(std::string_view operation) noexcept;
/// The same for a std::function, by its target_type().
void log_exception(const std::type_info& callable) noexcept;

/// Calls `call`; false if it threw, which is logged.
template <typename Call>
bool guarded(std::string_view operation, Call&& call) noexcept {
  try {
    std::forward<Call>(call)();
    return true;
  } catch (...) {
    log_exception(operation);
    return false;
  }
}

/// "handover::bus::Server::connect()::{lambda()#1}", from what a std::function holds.
std::string callable_name(const std::type_info& type);

/// Calls `callback`; what it throws is logged with the name of the function or lambda.
void call_guarded(const std::function<void()>& callback) noexcept;

/// The name of a function, as the compiler writes it.
template <auto function>
constexpr std::string_view function_name() {
  // "… [with auto function = handover::bus::{anonymous}::on_call; std::string_view = …]" (GCC),
  // "… [function = &handover::bus::(anonymous namespace)::on_call]" (Clang).
  constexpr std::string_view begin = "function = ";
  std::string_view name = __PRETTY_FUNCTION__;
  name.remove_prefix(name.find(begin) + begin.size());
  return name.substr(0, name.find_first_of(";]"));
}

namespace detail {
template <auto function, auto failed, typename Type = decltype(+function)>
struct Trampoline;

template <auto function, auto failed, typename Returned, typename... Arguments>
struct Trampoline<function, failed, Returned (*)(Arguments...)> {
  static Returned call(Arguments... arguments) noexcept {
    try {
      return function(std::forward<Arguments>(arguments)...);
    } catch (...) {
      log_exception(function_name<function>());
      if constexpr (std::is_same_v<Returned, void>) {
        return;
      } else {
        return failed;
      }
    }
  }
};
}  // namespace detail

/// `function` for a C library to call: it takes and returns the same, and never throws. If
/// `function` throws, the exception is logged and `failed` returned. 0 keeps an event source of
/// sd-event alive; a handler of D-Bus calls wants a negative errno, which becomes the reply:
/// `trampoline<on_call, -EIO>`.
template <auto function, auto failed = 0>
constexpr auto trampoline = &detail::Trampoline<function, failed>::call;

}  // namespace handover::system

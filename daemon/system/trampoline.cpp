// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/trampoline.h"

#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <memory>

#include "system/log.h"

namespace handover::system {

void log_exception(const std::type_info& callable) noexcept {
  std::string name;
  try {
    name = callable_name(callable);
  } catch (...) {  // the exception in flight is told all the same
  }
  log_exception(name);
}

void log_exception(std::string_view operation) noexcept {
  const auto log = [operation](std::string_view what) noexcept {
    try {
      log::event(log::Id::operation_failed, log::Level::critical,
                 {{log::Field::operation, operation}}, "A bug ended ", operation, ": ", what,
                 ". The daemon goes on; please report this.");
    } catch (...) {  // no memory to say so either
      log::write(log::Level::critical, "A bug ended an operation, and there is no memory.");
    }
  };
  try {
    throw;
  } catch (const std::exception& error) {
    log(error.what());
  } catch (...) {
    log("an exception of an unknown type");
  }
}

std::string callable_name(const std::type_info& type) {
  struct Free {
    void operator()(char* text) const { std::free(text); }
  };
  int status = 0;
  const std::unique_ptr<char, Free> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status));
  return name ? name.get() : type.name();
}

void call_guarded(const std::function<void()>& callback) noexcept {
  try {
    callback();
  } catch (...) {
    log_exception(callback.target_type());
  }
}

}  // namespace handover::system

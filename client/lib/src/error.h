// SPDX-License-Identifier: LGPL-2.1-or-later
// How the library's functions report: a negative errno, and the handover_error if one is asked for.
#pragma once

#include <string>
#include <string_view>

#include "call_limit.h"
#include "handover/handover.h"
#include "sd.h"

struct handover_error {
  std::string name;
  std::string message;
  int code = 0;  ///< positive errno
};

namespace handover::client {

/// Puts an error into *error (`error` may be NULL) and returns -code.
int report(handover_error** error, int code, std::string_view name, std::string_view message);

/// A failed system or sd-bus call: `result` is its negative errno, `what` names the operation.
int report_errno(handover_error** error, int result, std::string_view what);

/// An argument that is NULL, or else not what the header asks for.
int report_invalid(handover_error** error, std::string_view function);

/// An error that came over the bus, or that sd_bus_call() made itself; `result` is what it
/// returned, and `limit` was made before the call.
int report_bus(handover_error** error, int result, const sd_bus_error& bus_error,
               const CallLimit& limit);

/// An error of ours, as long as nobody has taken it.
class OwnError {
 public:
  OwnError() = default;
  OwnError(const OwnError&) = delete;
  OwnError& operator=(const OwnError&) = delete;
  ~OwnError() { handover_error_free(value_); }
  handover_error** get() { return &value_; }
  [[nodiscard]] handover_error* value() const { return value_; }
  void move_to(handover_error** error);

 private:
  handover_error* value_ = nullptr;
};

}  // namespace handover::client

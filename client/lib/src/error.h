// SPDX-License-Identifier: LGPL-2.1-or-later
// How the library's functions report: a negative errno, and the handover_error if one is given.
#pragma once

#include <string_view>

#include "handover/handover.h"
#include "sd.h"

namespace handover::client {

/// Fills in `error` (may be NULL) and returns -code.
int report(handover_error* error, int code, std::string_view name, std::string_view message);

/// A failed system or sd-bus call: `result` is its negative errno, `what` names the operation.
int report_errno(handover_error* error, int result, std::string_view what);

/// An error that came over the bus, or that sd_bus_call() made itself; `result` is what it
/// returned.
int report_bus(handover_error* error, int result, const sd_bus_error& bus_error);

}  // namespace handover::client

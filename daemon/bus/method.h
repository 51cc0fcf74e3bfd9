// SPDX-License-Identifier: LGPL-2.1-or-later
// The way of a method call: its arguments are read, its caller is known and charged, it is done.
#pragma once

#include <utility>

#include "bus/held_call.h"
#include "bus/link.h"
#include "bus/server.h"

namespace handover::bus {

struct NoArguments {};
inline Result<NoArguments> no_arguments() { return NoArguments{}; }

/// What a vtable's handler returns. `act(server, arguments, call)` answers `call`, at once or
/// later.
template <typename Arguments, typename Act>
int handle(sd_bus_message* message, void* userdata, sd_bus_error* error,
           Result<Arguments> arguments, Act act) {
  if (!arguments) return reply_error(error, arguments.error());
  auto& link = link_of(userdata);
  const auto call = link.server.hold(link, message);
  if (!call) return reply_error(error, call.error());
  act(link.server, std::move(*arguments), *call);
  return 1;
}

/// Manager.Cancel and Job.Cancel: there is one update at a time.
int cancel_update(sd_bus_message* message, void* userdata, sd_bus_error* error);

}  // namespace handover::bus

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/pass.h"

namespace handover::engine {

Turn turn_of(const ClientRecord& client, bool connected, ClientCall call, bool absent_time_over) {
  if (connected) return Turn::call;
  switch (call) {
    case ClientCall::prepare:
    case ClientCall::freeze:
      return client.required ? Turn::end_update : Turn::leave_out;
    case ClientCall::cancel:
      // A client of the bus has left for good: with the process went what it had prepared. One of a
      // direct connection ("" after a restart of the daemon) may come back.
      if (!client.bus_name.empty()) return Turn::pass_over;
      break;
    case ClientCall::thaw:     // its successor may have to thaw what it froze
    case ClientCall::restore:  // it has until the claim time
      break;
  }
  return absent_time_over ? Turn::pass_over : Turn::wait;
}

Meaning meaning_of(const ClientRecord& client, ClientCall call, const Result<void>& answer) {
  if (answer) return Meaning::done;
  switch (call) {
    case ClientCall::prepare:
    case ClientCall::freeze:
      return client.required ? Meaning::end_update : Meaning::leave_out;
    case ClientCall::cancel:
    case ClientCall::thaw:
      return Meaning::again;
    case ClientCall::restore:
      break;
  }
  return client.required ? Meaning::wait : Meaning::give_up;
}

Direction direction_of(ClientCall call) {
  return call == ClientCall::freeze ? Direction::dependants_first : Direction::dependencies_first;
}

Gates gates_of(const std::map<std::string, ClientRecord>& clients, ClientCall call) {
  const bool begins = call == ClientCall::prepare || call == ClientCall::freeze;
  Gates gates;
  gates.place = begins ? Gates::Place::before : Gates::Place::behind;
  for (const auto& [name, client] : clients) {
    if (client.gate) gates.names.insert(name);
  }
  return gates;
}

}  // namespace handover::engine

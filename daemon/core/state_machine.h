// SPDX-License-Identifier: LGPL-2.1-or-later
// The update's life as one pure table: (state, event) → (state, actions).
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace handover {

enum class State {
  normal,      ///< no update; clients register and preserve
  preparing,   ///< preflight, target load, Prepare on every client, collapse; workloads run on
  prepared,    ///< ready to freeze; workloads run on
  cancelling,  ///< telling prepared clients that nothing will come of it
  freezing,    ///< Freeze on every client, dependants first: the blackout has begun
  frozen,      ///< every client frozen; the manifest is being sealed
  rebooting,   ///< the kexec has been asked for
  thawing,     ///< undoing a freeze, dependencies first
  restoring,   ///< in the new kernel: clients get their state back
};

enum class Event {
  prepare_requested,  ///< stop at prepared
  update_requested,   ///< go all the way; from prepared: go on
  preflight_passed,
  target_loaded,
  clients_prepared,
  sessions_ready,  ///< collapsed and preserved again
  failed,  ///< anything that ends this attempt: preflight, load, veto, time-out, seal, kexec
  cancel_requested,
  clients_cancelled,
  clients_frozen,
  sealed,  ///< manifest written into preserved memory
  clients_thawed,
  booted,            ///< start-up found the manifest of an earlier kernel
  restarted,         ///< start-up found this boot's manifest: the daemon died and is back
  clients_restored,  ///< all restored or given up on
};

enum class Action {
  persist,  ///< write the manifest before anything else happens
  run_preflight,
  load_target,
  call_prepare,
  ready_sessions,  ///< collapse shmem memfds, preserve them again
  await_freeze,    ///< prepared: ends the job of a plain prepare; an update posts update_requested
  call_cancel,
  unload_target,
  call_freeze,
  seal,
  kexec,
  call_thaw,
  call_restore,
  finish_update,  ///< close the job and write the record with its outcome
};

struct Transition {
  State next;
  std::vector<Action> actions;  ///< in the order in which they are performed
  bool operator==(const Transition&) const = default;
};

/// nullopt: the event means nothing in this state; the caller refuses it and stays.
std::optional<Transition> step(State state, Event event);

std::string_view to_string(State state);
std::string_view to_string(Event event);
std::string_view to_string(Action action);
std::optional<State> state_from_string(std::string_view text);

std::span<const State> all_states();
std::span<const Event> all_events();

/// Workloads may stand still in this state (the blackout counts).
bool is_blackout(State state);
/// cancel_requested still leads back to normal.
bool is_cancellable(State state);

}  // namespace handover

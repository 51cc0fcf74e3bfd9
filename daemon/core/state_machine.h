// SPDX-License-Identifier: LGPL-2.1-or-later
// The life of an update as one pure table: (state, event) → (state, actions).
#pragma once

#include <optional>
#include <vector>

#include "core/enum_words.h"

namespace handover {

enum class State {
  normal,       ///< no update; clients register and preserve
  preparing,    ///< preflight, target load, Prepare on every client, collapse; workloads run on
  prepared,     ///< ready to freeze; workloads run on
  cancelling,   ///< telling prepared clients that there is no update
  freezing,     ///< Freeze on every client, dependants first: the blackout has begun
  frozen,       ///< every client frozen; the manifest is being sealed
  rebooting,    ///< the kexec was asked for
  withdrawing,  ///< restarted in rebooting: PID 1's job is taken back before anyone is thawed
  thawing,      ///< undoing a freeze, dependencies first
  restoring,    ///< in the new kernel: clients get their state back
};
constexpr auto words(State) {
  return std::to_array<Word<State>>({{State::normal, "normal"},
                                     {State::preparing, "preparing"},
                                     {State::prepared, "prepared"},
                                     {State::cancelling, "cancelling"},
                                     {State::freezing, "freezing"},
                                     {State::frozen, "frozen"},
                                     {State::rebooting, "rebooting"},
                                     {State::withdrawing, "withdrawing"},
                                     {State::thawing, "thawing"},
                                     {State::restoring, "restoring"}});
}

enum class Event {
  prepare_requested,  ///< stop at prepared
  update_requested,   ///< go all the way; from prepared: go on
  going_on,           ///< an update after a plain prepare: load the target again, prepare newcomers
  newcomers,          ///< clients have registered since the others were prepared
  preflight_passed,
  target_loaded,
  clients_prepared,
  sessions_ready,  ///< collapsed and preserved again
  failed,          ///< anything that ends the update: preflight, load, veto, time-out, seal, kexec
  cancel_requested,
  clients_cancelled,
  clients_frozen,
  sealed,           ///< manifest written into preserved memory
  rehearsed,        ///< as sealed, in a rehearsal: the reboot call would come now
  kexec_withdrawn,  ///< no kexec comes any more
  clients_thawed,
  rehearsal_thawed,  ///< everybody runs again, and is prepared still
  booted,            ///< start-up found the manifest of an earlier kernel
  restarted,         ///< start-up found this boot's manifest: the daemon died and is back
  clients_restored,  ///< all restored or given up on
};
constexpr auto words(Event) {
  return std::to_array<Word<Event>>({{Event::prepare_requested, "prepare_requested"},
                                     {Event::update_requested, "update_requested"},
                                     {Event::going_on, "going_on"},
                                     {Event::newcomers, "newcomers"},
                                     {Event::preflight_passed, "preflight_passed"},
                                     {Event::target_loaded, "target_loaded"},
                                     {Event::clients_prepared, "clients_prepared"},
                                     {Event::sessions_ready, "sessions_ready"},
                                     {Event::failed, "failed"},
                                     {Event::cancel_requested, "cancel_requested"},
                                     {Event::clients_cancelled, "clients_cancelled"},
                                     {Event::clients_frozen, "clients_frozen"},
                                     {Event::sealed, "sealed"},
                                     {Event::rehearsed, "rehearsed"},
                                     {Event::kexec_withdrawn, "kexec_withdrawn"},
                                     {Event::clients_thawed, "clients_thawed"},
                                     {Event::rehearsal_thawed, "rehearsal_thawed"},
                                     {Event::booted, "booted"},
                                     {Event::restarted, "restarted"},
                                     {Event::clients_restored, "clients_restored"}});
}

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
  withdraw_kexec,  ///< take kexec.target's job back, whoever started it
  call_thaw,
  call_restore,
  end_rehearsal,  ///< write its record; an update may go on from here
  finish_update,  ///< close the job and write the record with its outcome
};
constexpr auto words(Action) {
  return std::to_array<Word<Action>>({{Action::persist, "persist"},
                                      {Action::run_preflight, "run_preflight"},
                                      {Action::load_target, "load_target"},
                                      {Action::call_prepare, "call_prepare"},
                                      {Action::ready_sessions, "ready_sessions"},
                                      {Action::await_freeze, "await_freeze"},
                                      {Action::call_cancel, "call_cancel"},
                                      {Action::unload_target, "unload_target"},
                                      {Action::call_freeze, "call_freeze"},
                                      {Action::seal, "seal"},
                                      {Action::kexec, "kexec"},
                                      {Action::withdraw_kexec, "withdraw_kexec"},
                                      {Action::call_thaw, "call_thaw"},
                                      {Action::call_restore, "call_restore"},
                                      {Action::end_rehearsal, "end_rehearsal"},
                                      {Action::finish_update, "finish_update"}});
}

struct Transition {
  State next;
  std::vector<Action> actions;  ///< in the order in which they are performed
  bool operator==(const Transition&) const = default;
};

/// nullopt: the event has no meaning in this state. The caller refuses it; nothing changes.
std::optional<Transition> step(State state, Event event);

/// Whether workloads may stand still in this state.
bool is_blackout(State state);
/// Whether cancel_requested leads back to normal.
bool is_cancellable(State state);

}  // namespace handover

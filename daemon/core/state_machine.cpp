// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/state_machine.h"

#include <array>
#include <cstddef>

namespace handover {

namespace {

constexpr std::size_t most_actions = 3;

struct Row {
  State state;
  Event event;
  State next;
  std::array<Action, most_actions> actions;
  std::size_t count;
};

template <typename... Actions>
constexpr Row row(State state, Event event, State next, Actions... actions) {
  static_assert(sizeof...(actions) <= most_actions);
  return {state, event, next, {actions...}, sizeof...(actions)};
}

using enum State;
using enum Event;

// What is not here is refused. Rules that the rows follow, and the tests check:
//
// - A change of state is persisted before it is acted upon, so that a daemon that dies comes back
//   to it (`restarted`). Going back to normal is persisted last, since until then the work must be
//   done again. The only exception is rebooting, which the seal itself has written.
// - Before the kexec, whatever goes wrong ends in cancelling (nobody is frozen) or thawing.
// - A failure while undoing or restoring changes nothing: it is recorded, the others go on.
// - A manifest of an earlier kernel (`booted`) may carry any state: `systemctl kexec` asks nobody.
constexpr std::array table = {
    row(normal, prepare_requested, preparing, Action::persist, Action::run_preflight),
    row(normal, update_requested, preparing, Action::persist, Action::run_preflight),
    row(normal, restarted, normal, Action::persist),
    row(normal, booted, restoring, Action::persist, Action::call_restore),

    row(preparing, preflight_passed, preparing, Action::load_target),
    row(preparing, target_loaded, preparing, Action::call_prepare),
    row(preparing, clients_prepared, preparing, Action::ready_sessions),
    row(preparing, sessions_ready, prepared, Action::persist, Action::await_freeze),
    row(preparing, failed, cancelling, Action::persist, Action::call_cancel),
    row(preparing, cancel_requested, cancelling, Action::persist, Action::call_cancel),
    row(preparing, restarted, cancelling, Action::persist, Action::call_cancel),
    row(preparing, booted, restoring, Action::persist, Action::call_restore),

    // Clients or sessions changed since, or another target is wanted: all of it once more.
    row(prepared, prepare_requested, preparing, Action::persist, Action::run_preflight),
    row(prepared, update_requested, freezing, Action::persist, Action::call_freeze),
    row(prepared, failed, cancelling, Action::persist, Action::call_cancel),
    row(prepared, cancel_requested, cancelling, Action::persist, Action::call_cancel),
    row(prepared, restarted, cancelling, Action::persist, Action::call_cancel),
    row(prepared, booted, restoring, Action::persist, Action::call_restore),

    row(cancelling, clients_cancelled, normal, Action::unload_target, Action::finish_update,
        Action::persist),
    row(cancelling, failed, cancelling),
    row(cancelling, restarted, cancelling, Action::persist, Action::call_cancel),
    row(cancelling, booted, restoring, Action::persist, Action::call_restore),

    row(freezing, clients_frozen, frozen, Action::persist, Action::seal),
    row(freezing, failed, thawing, Action::persist, Action::call_thaw),
    row(freezing, cancel_requested, thawing, Action::persist, Action::call_thaw),
    row(freezing, restarted, thawing, Action::persist, Action::call_thaw),
    row(freezing, booted, restoring, Action::persist, Action::call_restore),

    row(frozen, sealed, rebooting, Action::kexec),
    row(frozen, failed, thawing, Action::persist, Action::call_thaw),
    row(frozen, cancel_requested, thawing, Action::persist, Action::call_thaw),
    row(frozen, restarted, thawing, Action::persist, Action::call_thaw),
    row(frozen, booted, restoring, Action::persist, Action::call_restore),

    row(rebooting, failed, thawing, Action::persist, Action::call_thaw),
    row(rebooting, restarted, thawing, Action::persist, Action::call_thaw),
    row(rebooting, booted, restoring, Action::persist, Action::call_restore),

    // Thaw tells a client all that Cancel would, so nobody is cancelled as well.
    row(thawing, clients_thawed, normal, Action::unload_target, Action::finish_update,
        Action::persist),
    row(thawing, failed, thawing),
    row(thawing, restarted, thawing, Action::persist, Action::call_thaw),
    row(thawing, booted, restoring, Action::persist, Action::call_restore),

    row(restoring, clients_restored, normal, Action::finish_update, Action::persist),
    row(restoring, failed, restoring),
    row(restoring, restarted, restoring, Action::persist, Action::call_restore),
    row(restoring, booted, restoring, Action::persist, Action::call_restore),
};

constexpr bool has_duplicate() {
  for (std::size_t i = 0; i < table.size(); ++i) {
    for (std::size_t j = i + 1; j < table.size(); ++j) {
      if (table[i].state == table[j].state && table[i].event == table[j].event) return true;
    }
  }
  return false;
}
static_assert(!has_duplicate(), "two rows for one (state, event)");

constexpr std::array states = {normal, preparing, prepared, cancelling, freezing,
                               frozen, rebooting, thawing,  restoring};
constexpr std::array events = {prepare_requested,
                               update_requested,
                               preflight_passed,
                               target_loaded,
                               clients_prepared,
                               sessions_ready,
                               failed,
                               cancel_requested,
                               clients_cancelled,
                               clients_frozen,
                               sealed,
                               clients_thawed,
                               booted,
                               restarted,
                               clients_restored};

const Row* find(State state, Event event) {
  for (const Row& candidate : table) {
    if (candidate.state == state && candidate.event == event) return &candidate;
  }
  return nullptr;
}

}  // namespace

std::optional<Transition> step(State state, Event event) {
  const Row* const found = find(state, event);
  if (found == nullptr) return std::nullopt;
  return Transition{found->next, {found->actions.begin(), found->actions.begin() + found->count}};
}

std::string_view to_string(State state) {
  switch (state) {
    case State::normal:
      return "normal";
    case State::preparing:
      return "preparing";
    case State::prepared:
      return "prepared";
    case State::cancelling:
      return "cancelling";
    case State::freezing:
      return "freezing";
    case State::frozen:
      return "frozen";
    case State::rebooting:
      return "rebooting";
    case State::thawing:
      return "thawing";
    case State::restoring:
      return "restoring";
  }
  return "unknown";
}

std::string_view to_string(Event event) {
  switch (event) {
    case Event::prepare_requested:
      return "prepare_requested";
    case Event::update_requested:
      return "update_requested";
    case Event::preflight_passed:
      return "preflight_passed";
    case Event::target_loaded:
      return "target_loaded";
    case Event::clients_prepared:
      return "clients_prepared";
    case Event::sessions_ready:
      return "sessions_ready";
    case Event::failed:
      return "failed";
    case Event::cancel_requested:
      return "cancel_requested";
    case Event::clients_cancelled:
      return "clients_cancelled";
    case Event::clients_frozen:
      return "clients_frozen";
    case Event::sealed:
      return "sealed";
    case Event::clients_thawed:
      return "clients_thawed";
    case Event::booted:
      return "booted";
    case Event::restarted:
      return "restarted";
    case Event::clients_restored:
      return "clients_restored";
  }
  return "unknown";
}

std::string_view to_string(Action action) {
  switch (action) {
    case Action::persist:
      return "persist";
    case Action::run_preflight:
      return "run_preflight";
    case Action::load_target:
      return "load_target";
    case Action::call_prepare:
      return "call_prepare";
    case Action::ready_sessions:
      return "ready_sessions";
    case Action::await_freeze:
      return "await_freeze";
    case Action::call_cancel:
      return "call_cancel";
    case Action::unload_target:
      return "unload_target";
    case Action::call_freeze:
      return "call_freeze";
    case Action::seal:
      return "seal";
    case Action::kexec:
      return "kexec";
    case Action::call_thaw:
      return "call_thaw";
    case Action::call_restore:
      return "call_restore";
    case Action::finish_update:
      return "finish_update";
  }
  return "unknown";
}

std::optional<State> state_from_string(std::string_view text) {
  for (const State state : states) {
    if (to_string(state) == text) return state;
  }
  return std::nullopt;
}

std::span<const State> all_states() { return states; }
std::span<const Event> all_events() { return events; }

bool is_blackout(State state) {
  return state == freezing || state == frozen || state == rebooting || state == thawing ||
         state == restoring;
}

bool is_cancellable(State state) { return find(state, cancel_requested) != nullptr; }

}  // namespace handover

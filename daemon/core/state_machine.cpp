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

// An event that has no row in a state is refused there. The rows follow these rules, which the
// tests check:
//
// - A new state is persisted before anything is done in it, so that a restarted daemon finds it
//   (`restarted`). normal is persisted last: if the daemon dies before, the work is done again.
//   rebooting is persisted by the seal.
// - Before the kexec, every failure leads to cancelling (nobody is frozen) or thawing.
// - A failure while undoing or restoring changes no state: it is recorded, and the others go on.
// - The manifest of an earlier kernel (`booted`) may be in any state: `systemctl kexec` asks
// nobody.
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

    // Another target is wanted: everything is prepared anew.
    row(prepared, prepare_requested, preparing, Action::persist, Action::run_preflight),
    // Somebody may have loaded another kernel since. Clients that are prepared stay so.
    row(prepared, going_on, preparing, Action::persist, Action::load_target),
    row(prepared, newcomers, preparing, Action::persist, Action::call_prepare),
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
    row(frozen, rehearsed, thawing, Action::persist, Action::call_thaw),
    row(frozen, failed, thawing, Action::persist, Action::call_thaw),
    row(frozen, cancel_requested, thawing, Action::persist, Action::call_thaw),
    row(frozen, restarted, thawing, Action::persist, Action::call_thaw),
    row(frozen, booted, restoring, Action::persist, Action::call_restore),

    row(rebooting, failed, thawing, Action::persist, Action::call_thaw),
    row(rebooting, restarted, withdrawing, Action::persist, Action::withdraw_kexec),
    row(rebooting, booted, restoring, Action::persist, Action::call_restore),

    // PID 1 may still kexec, as our earlier process asked it to: a client that is thawed before
    // would write into memory that is handed over.
    row(withdrawing, kexec_withdrawn, thawing, Action::persist, Action::call_thaw),
    row(withdrawing, failed, withdrawing),
    row(withdrawing, restarted, withdrawing, Action::persist, Action::withdraw_kexec),
    row(withdrawing, booted, restoring, Action::persist, Action::call_restore),

    // Thaw tells a client everything that Cancel would, so nobody gets both.
    row(thawing, clients_thawed, normal, Action::unload_target, Action::finish_update,
        Action::persist),
    // Clients are told that they stay prepared: an update may go on without preparing them again.
    row(thawing, rehearsal_thawed, prepared, Action::persist, Action::end_rehearsal),
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

bool is_blackout(State state) {
  return state == freezing || state == frozen || state == rebooting || state == withdrawing ||
         state == thawing || state == restoring;
}

bool is_cancellable(State state) { return find(state, cancel_requested) != nullptr; }

}  // namespace handover

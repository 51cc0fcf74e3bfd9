// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/state_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <tuple>

namespace handover {
namespace {

bool has(const Transition& transition, Action action) {
  return std::find(transition.actions.begin(), transition.actions.end(), action) !=
         transition.actions.end();
}

/// Every state that can be reached from `start` by events that `allowed` lets through.
template <typename Allowed>
std::set<State> reachable(State start, Allowed allowed) {
  std::set<State> seen = {start};
  std::deque<State> open = {start};
  while (!open.empty()) {
    const State state = open.front();
    open.pop_front();
    for (const Event event : all_values<Event>()) {
      if (!allowed(event)) continue;
      const auto transition = step(state, event);
      if (transition && seen.insert(transition->next).second) open.push_back(transition->next);
    }
  }
  return seen;
}

bool any_event(Event) { return true; }

TEST(StateMachine, WalkOverEveryReachableStateAndEvent) {
  const std::set<State> states = reachable(State::normal, any_event);
  EXPECT_EQ(states.size(), all_values<State>().size()) << "a state that nothing leads to";
  std::size_t accepted = 0;
  std::size_t refused = 0;
  std::set<Event> used_events;
  std::set<Action> used_actions;
  for (const State state : states) {
    for (const Event event : all_values<Event>()) {
      const auto transition = step(state, event);
      EXPECT_EQ(transition, step(state, event)) << "not pure";
      if (!transition) {
        ++refused;
        continue;
      }
      ++accepted;
      used_events.insert(event);
      used_actions.insert(transition->actions.begin(), transition->actions.end());
      EXPECT_NE(to_string(transition->next), "unknown");
      // No action is asked for twice in one transition.
      const std::set<Action> once(transition->actions.begin(), transition->actions.end());
      EXPECT_EQ(once.size(), transition->actions.size());
    }
  }
  std::cout << "walked " << states.size() << " states x " << all_values<Event>().size()
            << " events = " << accepted + refused << " pairs: " << accepted << " accepted, "
            << refused << " refused\n";
  EXPECT_EQ(accepted + refused, states.size() * all_values<Event>().size());
  EXPECT_EQ(used_events.size(), all_values<Event>().size())
      << "an event that means nothing anywhere";
  EXPECT_EQ(used_actions.size(), static_cast<std::size_t>(Action::finish_update) + 1)
      << "an action that nothing asks for";
}

/// Each event with the state and the actions that it leads to.
using Story = std::vector<std::tuple<Event, State, std::vector<Action>>>;

void expect_story(State state, const Story& story) {
  for (const auto& [event, next, actions] : story) {
    const auto transition = step(state, event);
    ASSERT_TRUE(transition) << to_string(state) << " + " << to_string(event);
    EXPECT_EQ(transition->next, next) << to_string(event);
    EXPECT_EQ(transition->actions, actions) << to_string(event);
    state = transition->next;
  }
}

TEST(StateMachine, TheWholeUpdate) {
  const Story story = {
      {Event::update_requested, State::preparing, {Action::persist, Action::run_preflight}},
      {Event::preflight_passed, State::preparing, {Action::load_target}},
      {Event::target_loaded, State::preparing, {Action::call_prepare}},
      {Event::clients_prepared, State::preparing, {Action::ready_sessions}},
      {Event::sessions_ready, State::prepared, {Action::persist, Action::await_freeze}},
      {Event::update_requested, State::freezing, {Action::persist, Action::call_freeze}},
      {Event::clients_frozen, State::frozen, {Action::persist, Action::seal}},
      {Event::sealed, State::rebooting, {Action::kexec}},
      {Event::booted, State::restoring, {Action::persist, Action::call_restore}},
      {Event::clients_restored, State::normal, {Action::finish_update, Action::persist}},
  };
  expect_story(State::normal, story);
}

TEST(StateMachine, ARehearsalEndsPrepared) {
  const Story story = {
      {Event::rehearsed, State::thawing, {Action::persist, Action::call_thaw}},
      {Event::rehearsal_thawed, State::prepared, {Action::persist, Action::end_rehearsal}},
      {Event::going_on, State::preparing, {Action::persist, Action::load_target}},
  };
  expect_story(State::frozen, story);
  // Nothing but a further request leads from it to the kexec.
  EXPECT_FALSE(reachable(State::thawing, [](Event event) {
                 return event != Event::update_requested && event != Event::prepare_requested &&
                        event != Event::going_on && event != Event::booted;
               }).contains(State::rebooting));
}

TEST(StateMachine, EveryStateLeadsBackToNormal) {
  for (const State state : all_values<State>()) {
    EXPECT_TRUE(reachable(state, any_event).contains(State::normal)) << to_string(state);
  }
}

// Nobody has to ask for anything: what fails and what is then answered is enough.
TEST(StateMachine, AFailureBeforeTheKexecEndsInNormal) {
  for (const State start :
       {State::preparing, State::prepared, State::freezing, State::frozen, State::rebooting}) {
    for (const Event blow : {Event::failed, Event::restarted}) {
      auto first = step(start, blow);
      ASSERT_TRUE(first) << to_string(start);
      if (first->next == State::withdrawing) first = step(first->next, Event::kexec_withdrawn);
      ASSERT_TRUE(first) << to_string(start);
      const bool frozen = is_blackout(start);
      EXPECT_EQ(first->next, frozen ? State::thawing : State::cancelling) << to_string(start);
      EXPECT_TRUE(has(*first, frozen ? Action::call_thaw : Action::call_cancel));
      const auto second =
          step(first->next, frozen ? Event::clients_thawed : Event::clients_cancelled);
      ASSERT_TRUE(second) << to_string(start);
      EXPECT_EQ(second->next, State::normal);
      EXPECT_EQ(second->actions,
                (std::vector{Action::unload_target, Action::finish_update, Action::persist}));
    }
  }
}

TEST(StateMachine, TheDaemonMayDieInAnyStateAgainAndAgain) {
  for (const State state : all_values<State>()) {
    const auto once = step(state, Event::restarted);
    ASSERT_TRUE(once) << to_string(state);
    EXPECT_TRUE(has(*once, Action::persist)) << to_string(state);
    const auto twice = step(once->next, Event::restarted);
    ASSERT_TRUE(twice);
    EXPECT_EQ(twice->next, once->next) << "a second death must change nothing";
    EXPECT_EQ(twice->actions, once->actions);
    // After a restart nothing starts an update by itself.
    EXPECT_FALSE(has(*once, Action::call_freeze));
    EXPECT_FALSE(has(*once, Action::seal));
    EXPECT_FALSE(has(*once, Action::kexec));
  }
}

TEST(StateMachine, AManifestOfAnEarlierKernelIsRestoredWhateverItsState) {
  for (const State state : all_values<State>()) {
    EXPECT_EQ(step(state, Event::booted),
              (Transition{State::restoring, {Action::persist, Action::call_restore}}))
        << to_string(state);
  }
}

// All paths: states with what has happened on the way, until nothing new comes up.
TEST(StateMachine, NoPathReachesTheKexecWithoutFreezeAndSeal) {
  struct Way {
    State state;
    bool freeze_called;  ///< since the last time nobody was frozen
    bool all_frozen;
    bool seal_called;
    bool sealed;
    bool operator<(const Way& other) const {
      return std::tie(state, freeze_called, all_frozen, seal_called, sealed) <
             std::tie(other.state, other.freeze_called, other.all_frozen, other.seal_called,
                      other.sealed);
    }
  };
  std::set<Way> seen;
  std::deque<Way> open;
  // A daemon may also start in any state, having done nothing itself: only through these two
  // events.
  for (const State state : all_values<State>()) {
    for (const Event event : {Event::restarted, Event::booted}) {
      open.push_back({step(state, event)->next, false, false, false, false});
    }
  }
  open.push_back({State::normal, false, false, false, false});
  std::size_t kexecs = 0;
  while (!open.empty()) {
    const Way way = open.front();
    open.pop_front();
    if (!seen.insert(way).second) continue;
    for (const Event event : all_values<Event>()) {
      const auto transition = step(way.state, event);
      if (!transition) continue;
      Way next = way;
      next.state = transition->next;
      next.all_frozen = next.all_frozen || event == Event::clients_frozen;
      next.sealed = next.sealed || event == Event::sealed;
      for (const Action action : transition->actions) {
        switch (action) {
          case Action::call_freeze:
            next.freeze_called = true;
            next.all_frozen = next.seal_called = next.sealed = false;
            break;
          case Action::seal:
            EXPECT_TRUE(next.freeze_called && next.all_frozen);
            next.seal_called = true;
            next.sealed = false;
            break;
          case Action::kexec:
            ++kexecs;
            EXPECT_TRUE(next.freeze_called) << to_string(way.state) << " " << to_string(event);
            EXPECT_TRUE(next.all_frozen) << to_string(way.state) << " " << to_string(event);
            EXPECT_TRUE(next.seal_called) << to_string(way.state) << " " << to_string(event);
            EXPECT_TRUE(next.sealed) << to_string(way.state) << " " << to_string(event);
            break;
          case Action::call_thaw:
          case Action::call_restore:
          case Action::finish_update:
            next.freeze_called = next.all_frozen = next.seal_called = next.sealed = false;
            break;
          default:
            break;
        }
      }
      open.push_back(next);
    }
  }
  EXPECT_GT(kexecs, 0U);
  std::cout << "walked " << seen.size() << " (state, history) pairs, " << kexecs
            << " of their transitions call kexec\n";
}

// As above, for clients: whoever was told to prepare or freeze is told how it ended.
TEST(StateMachine, NoPathComesBackToNormalWithClientsLeftPreparedOrFrozen) {
  enum class Clients { running, prepared, frozen };
  std::set<std::pair<State, Clients>> seen;
  std::deque<std::pair<State, Clients>> open = {{State::normal, Clients::running}};
  while (!open.empty()) {
    const auto [state, clients] = open.front();
    open.pop_front();
    if (!seen.insert({state, clients}).second) continue;
    if (state == State::normal) {
      EXPECT_EQ(clients, Clients::running);
    }
    for (const Event event : all_values<Event>()) {
      const auto transition = step(state, event);
      if (!transition) continue;
      Clients next = clients;
      // Thaw and Cancel reach everyone before their answers are in.
      if (event == Event::clients_thawed || event == Event::clients_restored) {
        next = Clients::running;
      } else if (event == Event::clients_cancelled) {
        EXPECT_NE(clients, Clients::frozen) << "cancelled, not thawed";
        next = Clients::running;
      } else if (event == Event::rehearsal_thawed) {
        next = Clients::prepared;
      }
      if (has(*transition, Action::call_prepare)) next = Clients::prepared;
      if (has(*transition, Action::call_freeze)) next = Clients::frozen;
      open.emplace_back(transition->next, next);
    }
  }
  EXPECT_GT(seen.size(), all_values<State>().size());
}

TEST(StateMachine, AChangeOfStateIsPersistedBeforeItIsActedUpon) {
  for (const State state : all_values<State>()) {
    for (const Event event : all_values<Event>()) {
      const auto transition = step(state, event);
      if (!transition || transition->next == state) continue;
      ASSERT_FALSE(transition->actions.empty());
      if (transition->next == State::rebooting) {
        // The seal has written it: nothing may stand between the seal and the kexec.
        EXPECT_EQ(transition->actions, std::vector{Action::kexec});
      } else if (transition->next == State::normal) {
        // Until all is undone and recorded it must be done again after a death.
        EXPECT_EQ(transition->actions.back(), Action::persist);
        EXPECT_TRUE(has(*transition, Action::finish_update));
      } else {
        EXPECT_EQ(transition->actions.front(), Action::persist)
            << to_string(state) << " + " << to_string(event);
      }
    }
  }
}

TEST(StateMachine, ASecondUpdateIsRefusedWhileOneRuns) {
  for (const State state : all_values<State>()) {
    // In prepared nothing runs: an update goes on from there, and a prepare begins anew.
    const bool idle = state == State::normal || state == State::prepared;
    EXPECT_EQ(step(state, Event::prepare_requested).has_value(), idle) << to_string(state);
    EXPECT_EQ(step(state, Event::update_requested).has_value(), idle) << to_string(state);
  }
}

TEST(StateMachine, PreparingAgainDoesAllOfItOnceMore) {
  EXPECT_EQ(step(State::prepared, Event::prepare_requested),
            step(State::normal, Event::prepare_requested));
}

// From prepared, what is prepared stays so; from anywhere else these mean nothing.
TEST(StateMachine, GoingOnAndNewcomersPrepareOnlyWhatIsMissing) {
  EXPECT_EQ(step(State::prepared, Event::going_on),
            (Transition{State::preparing, {Action::persist, Action::load_target}}));
  EXPECT_EQ(step(State::prepared, Event::newcomers),
            (Transition{State::preparing, {Action::persist, Action::call_prepare}}));
  for (const State state : all_values<State>()) {
    if (state == State::prepared) continue;
    EXPECT_FALSE(step(state, Event::going_on)) << to_string(state);
    EXPECT_FALSE(step(state, Event::newcomers)) << to_string(state);
  }
}

// PID 1 goes on with a kexec that an earlier process of ours asked for.
TEST(StateMachine, NobodyIsThawedBeforeTheKexecIsWithdrawn) {
  const Transition withdraw{State::withdrawing, {Action::persist, Action::withdraw_kexec}};
  EXPECT_EQ(step(State::rebooting, Event::restarted), withdraw);
  EXPECT_EQ(step(State::withdrawing, Event::restarted), withdraw);
  EXPECT_EQ(step(State::withdrawing, Event::failed), (Transition{State::withdrawing, {}}));
  EXPECT_EQ(step(State::withdrawing, Event::kexec_withdrawn),
            (Transition{State::thawing, {Action::persist, Action::call_thaw}}));
  // It is the only way into thawing from there, and into it only a death leads.
  for (const State state : all_values<State>()) {
    for (const Event event : all_values<Event>()) {
      const auto transition = step(state, event);
      if (!transition) continue;
      if (transition->next == State::withdrawing && state != State::withdrawing) {
        EXPECT_EQ(state, State::rebooting);
        EXPECT_EQ(event, Event::restarted);
      }
      if (state == State::withdrawing && has(*transition, Action::call_thaw)) {
        EXPECT_EQ(event, Event::kexec_withdrawn);
      }
    }
  }
}

TEST(StateMachine, CancelWorksUntilThePointOfNoReturn) {
  const std::set<State> cancellable = {State::preparing, State::prepared, State::freezing,
                                       State::frozen};
  for (const State state : all_values<State>()) {
    EXPECT_EQ(is_cancellable(state), cancellable.contains(state)) << to_string(state);
    EXPECT_EQ(step(state, Event::cancel_requested).has_value(), is_cancellable(state));
  }
}

// The worker's and the clients' answers can come late, after a cancel or a failure.
TEST(StateMachine, LateAnswersAreRefusedOnTheWayBack) {
  const std::set<Event> answers = {Event::preflight_passed, Event::target_loaded,
                                   Event::clients_prepared, Event::sessions_ready,
                                   Event::clients_frozen,   Event::sealed};
  for (const State state :
       {State::normal, State::cancelling, State::withdrawing, State::thawing, State::restoring}) {
    for (const Event event : answers) {
      EXPECT_FALSE(step(state, event)) << to_string(state) << " + " << to_string(event);
    }
  }
}

TEST(StateMachine, AFailureOnTheWayBackStopsNothing) {
  for (const State state :
       {State::cancelling, State::withdrawing, State::thawing, State::restoring}) {
    EXPECT_EQ(step(state, Event::failed), (Transition{state, {}})) << to_string(state);
  }
  EXPECT_FALSE(step(State::normal, Event::failed));
}

TEST(StateMachine, TheBlackoutIsFromFreezeToTheEndOfThawOrRestore) {
  const std::set<State> blackout = {State::freezing,    State::frozen,  State::rebooting,
                                    State::withdrawing, State::thawing, State::restoring};
  for (const State state : all_values<State>()) {
    EXPECT_EQ(is_blackout(state), blackout.contains(state)) << to_string(state);
  }
}

}  // namespace
}  // namespace handover

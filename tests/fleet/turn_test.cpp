// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fleet/turn.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <queue>
#include <set>
#include <vector>

namespace handover::fleet {
namespace {

using A = Action::Kind;
using E = Event::Kind;

constexpr std::array all_phases = {Phase::idle,     Phase::asking,    Phase::held,
                                   Phase::checking, Phase::releasing, Phase::kept};
constexpr std::array all_events = {E::prepare,    E::yes,     E::no,      E::unsure,    E::cancel,
                                   E::freeze,     E::restore, E::healthy, E::unhealthy, E::released,
                                   E::unreleased, E::let_go,  E::started, E::alone};

Event event_of(E kind, std::string text = "why") {
  Event event;
  event.kind = kind;
  event.text = std::move(text);
  event.claim = {"id", "host", 4, "then"};
  event.place = {LockKind::etcd, {"http://a"}, "web", "/p"};
  event.slot = 2;
  event.boot = "boot";
  return event;
}

Turn turn_in(Phase phase) {
  Turn turn;
  turn.phase = phase;
  turn.claim = {"id", "host", 4, "then"};
  turn.place = {LockKind::etcd, {"http://a"}, "web", "/p"};
  turn.slot = 2;
  turn.boot = "boot";
  turn.reason = "before";
  return turn;
}

std::vector<A> kinds(const Step& step) {
  std::vector<A> all;
  for (const auto& action : step.actions) all.push_back(action.kind);
  return all;
}

bool has(const Step& step, A kind) {
  const auto all = kinds(step);
  return std::find(all.begin(), all.end(), kind) != all.end();
}

/// Phase after phase, by those events.
std::vector<Phase> path(std::vector<Event> events, Turn turn = {}) {
  std::vector<Phase> phases;
  for (const auto& event : events) {
    turn = step(turn, event).turn;
    phases.push_back(turn.phase);
  }
  return phases;
}

TEST(Turn, OfAnUpdateThatGoesWell) {
  EXPECT_EQ(path({event_of(E::prepare), event_of(E::yes), event_of(E::freeze, ""),
                  event_of(E::restore), event_of(E::healthy), event_of(E::released)}),
            (std::vector{Phase::asking, Phase::held, Phase::held, Phase::checking, Phase::releasing,
                         Phase::idle}));
}

TEST(Turn, OfAnUpdateThatIsGivenUp) {
  EXPECT_EQ(
      path({event_of(E::prepare), event_of(E::yes), event_of(E::cancel), event_of(E::unreleased),
            event_of(E::released)}),
      (std::vector{Phase::asking, Phase::held, Phase::releasing, Phase::releasing, Phase::idle}));
}

TEST(Turn, KeepsTheSlotOfAHostThatIsNotWellUntilAPersonLetsGo) {
  EXPECT_EQ(
      path({event_of(E::restore), event_of(E::unhealthy), event_of(E::prepare), event_of(E::cancel),
            event_of(E::alone), event_of(E::let_go), event_of(E::released)},
           turn_in(Phase::held)),
      (std::vector{Phase::checking, Phase::kept, Phase::kept, Phase::kept, Phase::kept,
                   Phase::releasing, Phase::idle}));
  const auto refused = step(turn_in(Phase::kept), event_of(E::prepare));
  ASSERT_EQ(kinds(refused), std::vector{A::refuse});
  EXPECT_NE(refused.actions[0].text.find("handover-fleet release"), std::string::npos);
}

TEST(Turn, RemembersBeforeItAsks) {
  const auto asks = step(Turn{}, event_of(E::prepare));
  EXPECT_EQ(kinds(asks), (std::vector{A::persist, A::ask}));
  EXPECT_EQ(asks.turn.claim, (Claim{"id", "host", 4, "then"}));
  EXPECT_EQ(asks.turn.boot, "boot");
  const auto yes = step(asks.turn, event_of(E::yes));
  EXPECT_EQ(kinds(yes), (std::vector{A::persist, A::accept_prepare}));
  EXPECT_EQ(yes.turn.slot, 2);
}

TEST(Turn, ARefusalLeavesNothingBehind) {
  const auto no = step(turn_in(Phase::asking), event_of(E::no));
  EXPECT_EQ(no.turn, Turn{});
  EXPECT_EQ(kinds(no), (std::vector{A::persist, A::refuse_prepare}));
  EXPECT_EQ(no.actions[1].text, "why");
}

TEST(Turn, ARefusalOfAnotherUpdateDoesNotForgetASlotOfBefore) {
  for (const auto phase : {Phase::releasing, Phase::held}) {
    const auto asks = step(turn_in(phase), event_of(E::prepare));
    EXPECT_TRUE(asks.turn.owes);
    auto again = parse_turn(to_json(asks.turn));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(again->owes);
    const auto no = step(*again, event_of(E::no));
    EXPECT_EQ(no.turn.phase, Phase::releasing);
    EXPECT_EQ(kinds(no), (std::vector{A::persist, A::refuse_prepare, A::release}));
    EXPECT_FALSE(step(asks.turn, event_of(E::yes)).turn.owes);
  }
  EXPECT_FALSE(step(Turn{}, event_of(E::prepare)).turn.owes);
}

TEST(Turn, ASlotThatIsOwedElsewhereGoesBackBeforeAnotherIsAskedFor) {
  std::vector<Event> others(5, event_of(E::prepare));
  others[0].place->urls = {"http://b"};
  others[1].place->group = "db";
  others[2].place->kind = LockKind::none;
  others[3].claim.id = "other";
  others[4].claim.host = "renamed";
  for (const auto& other : others) {
    for (const auto phase : {Phase::releasing, Phase::held}) {
      const auto refused = step(turn_in(phase), other);
      EXPECT_EQ(refused.turn, turn_in(phase));
      ASSERT_EQ(kinds(refused), std::vector{A::refuse});
      EXPECT_NE(refused.actions[0].text.find("etcd at http://a, group web below /p"),
                std::string::npos)
          << refused.actions[0].text;
    }
    const auto asks = step(Turn{}, other);
    EXPECT_TRUE(has(asks, A::ask));
    EXPECT_EQ(asks.turn.place, other.place);
  }
  const auto let_go = step(Turn{}, event_of(E::let_go));
  EXPECT_TRUE(has(step(let_go.turn, event_of(E::prepare)), A::ask));
}

TEST(Turn, WhatMayBeHeldIsGivenBack) {
  const auto unsure = step(turn_in(Phase::asking), event_of(E::unsure));
  EXPECT_EQ(unsure.turn.phase, Phase::releasing);
  EXPECT_EQ(kinds(unsure), (std::vector{A::persist, A::refuse_prepare, A::release}));
  const auto cancelled = step(turn_in(Phase::asking), event_of(E::cancel));
  EXPECT_EQ(kinds(cancelled),
            (std::vector{A::persist, A::stop_asking, A::refuse_prepare, A::accept, A::release}));
}

TEST(Turn, AnAnswerThatNobodyWaitsForChangesNothing) {
  for (const auto phase : all_phases) {
    if (phase == Phase::asking) continue;
    for (const auto kind : {E::yes, E::no, E::unsure}) {
      const auto next = step(turn_in(phase), event_of(kind));
      EXPECT_EQ(next.turn, turn_in(phase)) << to_string(phase);
      EXPECT_TRUE(next.actions.empty()) << to_string(phase);
    }
  }
}

TEST(Turn, FreezesOnlyWithTheFleetsYesAndInTime) {
  for (const auto phase : all_phases) {
    const auto now = step(turn_in(phase), event_of(E::freeze, ""));
    EXPECT_EQ(kinds(now), std::vector{phase == Phase::held ? A::accept : A::refuse});
    EXPECT_EQ(now.turn.phase, phase);
  }
  const auto late = step(turn_in(Phase::held), event_of(E::freeze, "closed"));
  EXPECT_EQ(late.actions, (std::vector<Action>{{A::refuse, "closed"}}));
}

TEST(Turn, AfterARestartOfThisProcess) {
  const auto after = [](Phase phase, const char* boot) {
    auto event = event_of(E::alone);
    event.boot = boot;
    return step(turn_in(phase), event);
  };
  // The same kernel: the update has ended without us.
  EXPECT_EQ(after(Phase::asking, "boot").turn.phase, Phase::releasing);
  EXPECT_EQ(after(Phase::held, "boot").turn.phase, Phase::releasing);
  // Another one, and nobody calls Restore: a panic, say. Is the host well?
  const auto panic = after(Phase::held, "another");
  EXPECT_EQ(panic.turn.phase, Phase::checking);
  EXPECT_TRUE(has(panic, A::check_health));
  EXPECT_EQ(after(Phase::kept, "another").turn.phase, Phase::kept);
  // A slot is given back before the daemon is there.
  EXPECT_EQ(kinds(step(turn_in(Phase::releasing), event_of(E::started))), std::vector{A::release});
  EXPECT_TRUE(step(turn_in(Phase::held), event_of(E::started)).actions.empty());
  // A check begins anew, whether Restore is called once more or nobody calls: one, not two.
  EXPECT_EQ(kinds(step(turn_in(Phase::checking), event_of(E::started))),
            std::vector{A::check_health});
  EXPECT_TRUE(after(Phase::checking, "another").actions.empty());
  EXPECT_TRUE(step(turn_in(Phase::checking), event_of(E::restore)).actions.empty());
}

TEST(Turn, LettingGoIsRefusedInAnUpdate) {
  for (const auto phase : all_phases) {
    const auto next = step(turn_in(phase), event_of(E::let_go));
    const bool may = phase == Phase::idle || phase == Phase::releasing || phase == Phase::kept;
    EXPECT_EQ(has(next, A::accept_person), may) << to_string(phase);
    EXPECT_EQ(has(next, A::refuse_person), !may) << to_string(phase);
    EXPECT_EQ(next.turn.phase, may ? Phase::releasing : phase);
  }
}

/// Whatever comes in whatever order.
TEST(Turn, EveryPhaseAndEventKeepsThePromises) {
  for (const auto phase : all_phases) {
    for (const auto kind : all_events) {
      const auto before = turn_in(phase);
      const auto next = step(before, event_of(kind));
      EXPECT_TRUE(!next.turn.owes || next.turn.phase == Phase::asking);
      SCOPED_TRACE(std::string(to_string(phase)) + ", event " +
                   std::to_string(static_cast<int>(kind)));
      const auto all = kinds(next);
      // A new phase is on disk before anything else happens.
      if (next.turn.phase != phase) {
        ASSERT_FALSE(all.empty());
        EXPECT_EQ(all.front(), A::persist);
      }
      // What may be held is forgotten only when the server has said so, or that there is none.
      const bool may_hold = phase != Phase::idle;
      if (may_hold && next.turn.phase == Phase::idle) {
        EXPECT_TRUE(kind == E::released || kind == E::no);
      }
      // Each call of the daemon's and of people's has its answer, or somebody who will answer.
      const auto answers = std::count_if(
          all.begin(), all.end(), [](A one) { return one == A::accept || one == A::refuse; });
      const bool plain = kind == E::cancel || kind == E::freeze;
      if (plain) {
        EXPECT_EQ(answers, 1);
      }
      if (kind == E::prepare) {
        EXPECT_EQ(answers, has(next, A::ask) ? 0 : 1);
      }
      if (kind == E::restore) {
        EXPECT_TRUE(has(next, A::accept_restore) || has(next, A::refuse_restore) ||
                    next.turn.phase == Phase::checking);
      }
      if (kind == E::let_go) {
        EXPECT_TRUE(has(next, A::accept_person) != has(next, A::refuse_person));
      }
      // Who comes into a phase in which something runs, has it run.
      if (phase != Phase::releasing && next.turn.phase == Phase::releasing) {
        EXPECT_TRUE(has(next, A::release));
      }
      if (phase != Phase::checking && next.turn.phase == Phase::checking) {
        EXPECT_TRUE(has(next, A::check_health));
      }
    }
  }
}

TEST(Turn, IsReadAsItWasWritten) {
  for (const auto phase : all_phases) {
    auto again = parse_turn(to_json(turn_in(phase)));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, turn_in(phase));
  }
  // Of a gate that did not write down where.
  auto old =
      parse_turn(R"({"version":1,"phase":"releasing","claim":"","slot":0,"boot":"","reason":""})");
  ASSERT_TRUE(old) << old.error().message;
  EXPECT_EQ(old->place, std::nullopt);
  for (const char* bad :
       {"", "{}", "[1]", R"({"version": 2})",
        R"({"version":1,"phase":"odd","claim":"","slot":0,"boot":"","reason":""})"}) {
    EXPECT_FALSE(parse_turn(bad)) << bad;
  }
}

}  // namespace
}  // namespace handover::fleet

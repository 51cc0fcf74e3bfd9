// SPDX-License-Identifier: LGPL-2.1-or-later
#include "turn.h"

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

namespace handover::fleet {
namespace {

using A = Action::Kind;
using E = Event::Kind;

constexpr std::array<std::pair<Phase, std::string_view>, 6> phases = {{
    {Phase::idle, "idle"},
    {Phase::asking, "asking"},
    {Phase::held, "held"},
    {Phase::checking, "checking"},
    {Phase::releasing, "releasing"},
    {Phase::kept, "kept"},
}};

/// The same turn in another phase.
Step into(const Turn& turn, Phase phase, std::string reason, std::vector<Action> actions) {
  Step next{turn, std::move(actions)};
  next.turn.phase = phase;
  next.turn.reason = std::move(reason);
  next.turn.owes = false;
  return next;
}

Step stay(const Turn& turn, std::vector<Action> actions = {}) { return {turn, std::move(actions)}; }

Step idle(std::vector<Action> actions) { return {Turn{}, std::move(actions)}; }

std::string kept_sentence(const Turn& turn) {
  return "This host's slot is kept after a failed health check (" + turn.reason +
         "); 'handover-fleet release' lets go.";
}

/// Who asks with that claim, at that place, gets the slot of the turn itself, and no second one.
bool asks_for_the_same(const Turn& turn, const Event& event) {
  // A person has let go of whatever the server has of us.
  if (turn.claim.id.empty()) return true;
  // Without one, it is of before this was written down.
  const bool same_place = !turn.place || turn.place == event.place;
  return same_place && turn.claim.id == event.claim.id && turn.claim.host == event.claim.host;
}

std::string owed_elsewhere(const Turn& turn) {
  const auto place = turn.place ? " (" + describe(*turn.place) + ")" : std::string();
  return "A slot of before the configuration or the host's name was changed has to go back first" +
         place + ".";
}

Step on_prepare(const Turn& turn, const Event& event) {
  switch (turn.phase) {
    case Phase::asking:
      return stay(turn, {{A::refuse, "The fleet is being asked already."}});
    case Phase::checking:
      return stay(turn, {{A::refuse, "The health check after the last update has not ended yet."}});
    case Phase::kept:
      return stay(turn, {{A::refuse, kept_sentence(turn)}});
    case Phase::held:
    case Phase::releasing:
      if (asks_for_the_same(turn, event)) break;
      return stay(turn, {{A::refuse, owed_elsewhere(turn)}});
    case Phase::idle:
      break;
  }
  auto next = into(turn, Phase::asking, "", {{A::persist}, {A::ask}});
  next.turn.claim = event.claim;
  next.turn.place = event.place;
  next.turn.boot = event.boot;
  next.turn.owes = turn.phase != Phase::idle;
  return next;
}

/// What Prepare's work has come to; whoever gave it up before does not care.
Step on_answer(const Turn& turn, const Event& event) {
  if (turn.phase != Phase::asking) return stay(turn);
  if (event.kind == E::yes) {
    auto next = into(turn, Phase::held, "", {{A::persist}, {A::accept_prepare}});
    next.turn.slot = event.slot;
    return next;
  }
  if (event.kind == E::no && !turn.owes) {
    return idle({{A::persist}, {A::refuse_prepare, event.text}});
  }
  return into(turn, Phase::releasing, event.text,
              {{A::persist}, {A::refuse_prepare, event.text}, {A::release}});
}

Step on_cancel(const Turn& turn) {
  if (turn.phase == Phase::asking) {
    return into(turn, Phase::releasing, "",
                {{A::persist},
                 {A::stop_asking},
                 {A::refuse_prepare, "The update was given up."},
                 {A::accept},
                 {A::release}});
  }
  if (turn.phase != Phase::held) return stay(turn, {{A::accept}});
  return into(turn, Phase::releasing, "", {{A::persist}, {A::accept}, {A::release}});
}

Step on_freeze(const Turn& turn, const Event& event) {
  if (turn.phase != Phase::held) {
    return stay(turn, {{A::refuse, "The fleet has not said yes to this update."}});
  }
  if (!event.text.empty()) return stay(turn, {{A::refuse, event.text}});
  return stay(turn, {{A::accept}});
}

Step on_restore(const Turn& turn) {
  switch (turn.phase) {
    case Phase::kept:
      return stay(turn, {{A::refuse_restore, kept_sentence(turn)}});
    case Phase::checking:  // its answer is on its way
      return stay(turn);
    case Phase::releasing:
      return stay(turn, {{A::accept_restore}});
    case Phase::idle:
    case Phase::asking:
    case Phase::held:
      break;
  }
  return into(turn, Phase::checking, "", {{A::persist}, {A::check_health}});
}

Step on_health(const Turn& turn, const Event& event) {
  if (turn.phase != Phase::checking) return stay(turn);
  if (event.kind == E::healthy) {
    return into(turn, Phase::releasing, "", {{A::persist}, {A::accept_restore}, {A::release}});
  }
  auto next = into(turn, Phase::kept, event.text, {{A::persist}});
  next.actions.push_back({A::refuse_restore, kept_sentence(next.turn)});
  return next;
}

Step on_let_go(const Turn& turn) {
  switch (turn.phase) {
    case Phase::asking:
    case Phase::held:
      return stay(turn,
                  {{A::refuse_person, "An update is on its way; 'handoverctl cancel' ends it."}});
    case Phase::checking:
      return stay(
          turn, {{A::refuse_person, "The health check has not ended yet; try again when it has."}});
    case Phase::idle:  // the server may know better
    case Phase::releasing:
    case Phase::kept:
      break;
  }
  return into(turn, Phase::releasing, "", {{A::persist}, {A::accept_person}, {A::release}});
}

/// What ran when the last process of ours ended, runs again.
Step on_started(const Turn& turn) {
  if (turn.phase == Phase::releasing) return stay(turn, {{A::release}});
  if (turn.phase == Phase::checking) return stay(turn, {{A::check_health}});
  return stay(turn);
}

/// Of an update that we were in when this process began, nobody says any more how it ended.
Step on_alone(const Turn& turn, const Event& event) {
  switch (turn.phase) {
    case Phase::idle:
    case Phase::kept:
    case Phase::releasing:
    case Phase::checking:  // since this process began
      return stay(turn);
    case Phase::held:
      if (turn.boot == event.boot) break;
      return into(turn, Phase::checking, "", {{A::persist}, {A::check_health}});
    case Phase::asking:
      break;
  }
  return into(turn, Phase::releasing, turn.reason, {{A::persist}, {A::release}});
}

nlohmann::json json_of(const LockPlace& place) {
  return {{"kind", to_string(place.kind)},
          {"urls", place.urls},
          {"group", place.group},
          {"prefix", place.prefix}};
}

/// Throws json::exception on what is none.
LockPlace place_of(const nlohmann::json& object) {
  LockPlace place;
  const auto word = object.at("kind").get<std::string>();
  for (const auto kind : {LockKind::fleetlock, LockKind::etcd}) {
    if (word == to_string(kind)) place.kind = kind;
  }
  place.urls = object.at("urls").get<std::vector<std::string>>();
  place.group = object.at("group").get<std::string>();
  place.prefix = object.at("prefix").get<std::string>();
  // Without a URL, there is nobody to ask.
  if (place.urls.empty()) place.kind = LockKind::none;
  return place;
}

}  // namespace

std::string_view to_string(Phase phase) {
  for (const auto& [value, word] : phases) {
    if (value == phase) return word;
  }
  return "";
}

Step step(const Turn& turn, const Event& event) {
  switch (event.kind) {
    case E::prepare:
      return on_prepare(turn, event);
    case E::yes:
    case E::no:
    case E::unsure:
      return on_answer(turn, event);
    case E::cancel:
      return on_cancel(turn);
    case E::freeze:
      return on_freeze(turn, event);
    case E::restore:
      return on_restore(turn);
    case E::healthy:
    case E::unhealthy:
      return on_health(turn, event);
    case E::released:
      return turn.phase == Phase::releasing ? idle({{A::persist}}) : stay(turn);
    case E::unreleased:
      if (turn.phase != Phase::releasing) return stay(turn);
      return into(turn, Phase::releasing, event.text, {{A::release_later}});
    case E::let_go:
      return on_let_go(turn);
    case E::started:
      return on_started(turn);
    case E::alone:
      return on_alone(turn, event);
  }
  return stay(turn);
}

std::string to_json(const Turn& turn) {
  nlohmann::json object = {{"version", 1},
                           {"phase", to_string(turn.phase)},
                           {"claim", to_json(turn.claim)},
                           {"slot", turn.slot},
                           {"boot", turn.boot},
                           {"reason", turn.reason},
                           {"owes", turn.owes}};
  if (turn.place) object["place"] = json_of(*turn.place);
  return object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

client::Result<Turn> parse_turn(std::string_view text) {
  try {
    const auto object = nlohmann::json::parse(text);
    if (object.at("version") != 1) {
      return client::Error{"", "it is of another version of handover-fleet", EBADMSG};
    }
    Turn turn;
    const auto word = object.at("phase").get<std::string>();
    bool known = false;
    for (const auto& [value, name] : phases) {
      if (name != word) continue;
      turn.phase = value;
      known = true;
    }
    if (!known) return client::Error{"", "it has the unknown phase '" + word + "'", EBADMSG};
    turn.claim = parse_claim(object.at("claim").get<std::string>());
    turn.slot = object.at("slot").get<int>();
    turn.boot = object.at("boot").get<std::string>();
    turn.reason = object.at("reason").get<std::string>();
    turn.owes = object.value("owes", false);
    if (object.contains("place")) turn.place = place_of(object["place"]);
    return turn;
  } catch (const nlohmann::json::exception&) {
    return client::Error{"", "it is not one of handover-fleet's", EBADMSG};
  }
}

}  // namespace handover::fleet

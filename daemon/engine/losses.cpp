// SPDX-License-Identifier: LGPL-2.1-or-later
// What becomes of sessions, as they tell: whole again, ended, lost; and whom that is told.
#include <algorithm>
#include <utility>

#include "engine/engine.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// Until what the kernel could not finish for the moment is tried again.
constexpr std::uint64_t finish_pause_usec = 2'000'000;

}  // namespace

void Engine::session_noted(std::uint64_t id) {
  journal_.note_session(id);
  wake();
}

void Engine::write_down() {
  if (auto written = journal_.flush(); !written) {
    log::error("The manifest could not be written: ", written.error().message);
  }
}

void Engine::token_noted(const Sessions::Held& held, std::uint64_t token) {
  journal_.note_token(held.record.id, token);
  wake();
}

void Engine::session_whole(const Sessions::Held& held) {
  log::event(log::Id::session_whole, log::Level::info,
             {{log::Field::session, held.record.name},
              {log::Field::client, held.record.client},
              {log::Field::unit, unit_of(held.record)}},
             "Session '", held.record.name, "' is whole again.");
  // Its client may have waited for that, to be restored.
  if (held.record.incoming && !held.record.client.empty()) take_turn(held.record.client);
}

void Engine::session_degraded(const Sessions::Held& held, const std::string& why) {
  const auto& record = held.record;
  const auto sentence = "The kernel does not hold all of session '" + record.name + "' now" +
                        (why.empty() ? "" : " (" + why + ")") +
                        "; that is tried again, and no update freezes before it is whole.";
  log::event(log::Id::session_degraded, log::Level::error,
             {{log::Field::session, record.name},
              {log::Field::client, record.client},
              {log::Field::unit, unit_of(record)}},
             sentence);
  outside_.state_lost(record.name, record.client, sentence);
}

void Engine::session_unreached(const Sessions::Held& held) {
  log::event(log::Id::session_unreached, log::Level::warning,
             {{log::Field::session, held.record.name},
              {log::Field::client, held.record.client},
              {log::Field::unit, unit_of(held.record)},
              {log::Field::code, held.why_unreached ? to_string(held.why_unreached->code) : ""}},
             "Session '", held.record.name, "' cannot be reached now, and is asked for again: ",
             held.why_unreached ? held.why_unreached->message : "");
}

void Engine::session_gone(const SessionRecord& record) {
  if (record.incoming) journal_.note_head();  // it may rest from now on
  log::event(log::Id::session_finished, log::Level::debug,
             {{log::Field::session, record.name},
              {log::Field::client, record.client},
              {log::Field::unit, unit_of(record)}},
             "Session '", record.name, "' has ended.");
  outside_.session_removed(record.name);
  // Its client left before it: nothing is kept for that one any more. (If it was lost, its client
  // may come back, and the record says that it has to make it anew.)
  const auto is_lost = [&](const LostSession& lost) { return lost.client == record.client; };
  if (const auto* client = clients_.find(record.client);
      client != nullptr && state_ == State::normal && !clients_.connected(*client) &&
      sessions_.of_client(client->name).empty() &&
      std::none_of(lost_.begin(), lost_.end(), is_lost)) {
    drop_client(record.client);
  }
  wake();
}

void Engine::lost(const SessionRecord& record, std::optional<std::uint64_t> token,
                  const std::string& sentence) {
  const bool had_anything = token || !record.tokens.empty() || record.opened || record.luo_opened;
  if (!record.incoming && !record.ending && !record.client.empty() && had_anything) {
    note_lost({record.name, record.client, token});
  }
  // What was preserved for a later update, and no update runs or was to carry it: that is told, and
  // no record.
  const bool carried = record.incoming || (update_.record() && state_ != State::restoring);
  if (!carried) return tell_loss(record.name, record.client, sentence, token);
  report_loss(record.name, record.client, sentence, token);
}

/// Until its client has preserved it anew, or has ended, an update would go without it.
void Engine::note_lost(LostSession lost) {
  if (std::find(lost_.begin(), lost_.end(), lost) == lost_.end()) lost_.push_back(std::move(lost));
  journal_.note_head();
  wake();
}

void Engine::forget_lost(const std::function<bool(const LostSession&)>& which) {
  if (std::erase_if(lost_, which) == 0) return;
  journal_.note_head();
  wake();
}

void Engine::session_settled(const std::string& name, const std::string& client) {
  if (const auto held = sessions_.find(name, Owner{})) {
    auto& ending = **held;
    if (ending.record.ending && !ending.to_end) ending.to_end = "was not retrieved";
    if (ending.to_end) end_when_here(ending);
  }
  if (!client.empty()) take_turn(client);
  wake();
}

/// Its end was begun by an earlier process, or its state is not to be given back.
void Engine::end_when_here(Sessions::Held& held) {
  held.record.ending = false;
  if (held.record.incoming) return finish_session(held.record.name, *held.to_end);
  held.to_end.reset();
  sessions_.discard(held, [](const Result<void>& done) {
    if (!done) log::error(done.error().message);
  });
}

void Engine::sessions_idle() {
  if (sealing_) seal_now();
  if (freeze_waits_) freeze_now();
}

void Engine::finishes_over() {
  pass_moved_ = true;
  wake();
}

void Engine::finish_sessions_of(const std::string& client, const std::string& why, bool can_wait) {
  const auto names = sessions_.of_client(client);
  for (const auto& name : names) {
    const auto* held = sessions_.find(name);
    if (held->record.incoming && !held->record.ending) finish_session(name, why, can_wait);
  }
}

/// Ends an incoming session; what was not retrieved is told: it `why` and is freed. Where the
/// configuration keeps what nobody claims, it stays.
void Engine::finish_session(const std::string& session, const std::string& why, bool can_wait) {
  auto held = sessions_.find(session, Owner{});
  if (!held || (*held)->record.ending) return;
  const auto record = (*held)->record;
  if (!(*held)->kernel) {
    if (!(*held)->to_end) (*held)->to_end = why;
    return;
  }
  sessions_.finish(
      **held, can_wait, [this, record, why](const Result<std::vector<std::uint64_t>>& unclaimed) {
        if (!unclaimed) return not_finished(record, why, unclaimed.error());
        if (why.empty()) return;
        if (record.luo_claimed) return report_unknown(record, why);
        const bool asked_for =
            std::any_of(record.tokens.begin(), record.tokens.end(),
                        [](const TokenRecord& token) { return token.retrieved; });
        if (record.luo_opened && !asked_for) {
          report_loss(record.name, record.client,
                      "Session '" + record.name + "': what its owner preserved in it by OpenLUO " +
                          why + " and is freed.");
        }
        for (const auto token : *unclaimed) report_unclaimed(record, token, why);
      });
}

void Engine::not_finished(const SessionRecord& record, const std::string& why, const Error& error) {
  const auto held = sessions_.find(record.name, Owner{});
  if (error.nature != Nature::passing) {
    if (held) (*held)->to_end.reset();
    return report_loss(record.name, record.client, error.message);
  }
  log::error(error.message);
  if (held) (*held)->to_end = why;
  to_finish_.insert_or_assign(record.name, why);
  finish_alarm_ = host_.after(finish_pause_usec, [this] {
    const auto again = std::exchange(to_finish_, {});
    for (const auto& [name, reason] : again) finish_session(name, reason);
  });
}

/// Its owner has had LUO's descriptor, and LUO does not tell what he took: perhaps all of it.
void Engine::report_unknown(const SessionRecord& record, const std::string& why) {
  log::event(log::Id::session_unclaimed, log::Level::warning,
             {{log::Field::session, record.name},
              {log::Field::client, record.client},
              {log::Field::unit, unit_of(record)}},
             "Session '", record.name, "' ", why,
             "; what its owner has not taken by OpenLUO is freed.");
}

void Engine::report_unclaimed(const SessionRecord& record, std::uint64_t token,
                              const std::string& why) {
  log::event(log::Id::session_unclaimed, log::Level::warning,
             {{log::Field::session, record.name},
              {log::Field::client, record.client},
              {log::Field::unit, unit_of(record)},
              {log::Field::token, token}},
             "Session '", record.name, "', token ", token, " ", why, ".");
  report_loss(record.name, record.client,
              "Session '" + record.name + "', token " + std::to_string(token) + " " + why +
                  " and is freed.",
              token);
}

/// In the journal and on the bus.
void Engine::tell_loss(const std::string& session, const std::string& client,
                       const std::string& reason, std::optional<std::uint64_t> token) {
  ++counters_.losses;
  log::event(token ? log::Id::token_lost : log::Id::session_lost, log::Level::error,
             {{log::Field::session, session},
              {log::Field::client, client},
              {log::Field::unit, unit_of(client)},
              {log::Field::token, token ? std::to_string(*token) : ""}},
             reason);
  outside_.state_lost(session, client, reason);
}

/// Of what an update carried, or was to carry: its record tells it, too.
void Engine::report_loss(const std::string& session, const std::string& client, std::string reason,
                         std::optional<std::uint64_t> token) {
  tell_loss(session, client, reason, token);
  if (auto* const record = update_.edit()) {
    journal_.note_loss(reason);
    record->losses.push_back(std::move(reason));
    wake();
    return;
  }
  // After the update was over (claim time): its record tells of it all the same.
  late_losses_.push_back(reason);
  journal_.note_late_loss(reason);
  wake();
  records_.add_loss(generation_, std::move(reason));
}

}  // namespace handover::engine

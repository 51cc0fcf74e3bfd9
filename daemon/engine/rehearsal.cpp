// SPDX-License-Identifier: LGPL-2.1-or-later
// A rehearsal's own steps: from the seal back to prepared.
#include "core/rehearsal.h"

#include <algorithm>
#include <utility>

#include "engine/engine.h"
#include "system/log.h"

namespace handover::engine {

/// The way of an update up to the reboot call; then everybody is thawed.
void Engine::rehearse_reboot() {
  set_job(JobPhase::kexec, 96, "Here an update would leave this kernel.");
  auto limit = longest_blackout_sync();
  const auto at_most = update_.record()->rehearsal->at_most_usec;
  // An update's freeze has no limit from here on; but at-most is meant for all of it.
  if (at_most == 0) {
    budget_alarm_.reset();
  } else {
    const auto& marks = update_.record()->timeline.marks;
    const auto gone = update_.usec_since(marks.at(Mark::freeze_begin), host_.now());
    limit = std::min(limit, at_most - std::min(at_most, gone));
  }
  const bool syncs = update_.options.mode != Mode::orderly && !emulated();
  if (!syncs) {
    mark(Mark::synced);
    return post(Event::rehearsed);
  }
  sync_in_blackout(limit, [this] {
    if (!update_.failure() && state_ == State::frozen) post(Event::rehearsed);
  });
}

/// Everybody was thawed, and is told that the update may go on from here.
bool Engine::thaws_to_prepared() const {
  return pass_ && pass_->call() == ClientCall::thaw && pass_->then() == Event::rehearsal_thawed;
}

/// A process that came since has not been prepared.
bool Engine::stays_prepared(const ClientRecord& client) const {
  return thaws_to_prepared() && !update_.newcomers().contains(client.name);
}

/// Who was left out, or came since, is prepared when the update goes on. False: one that is
/// required does not run, or is gone, and the update has failed.
bool Engine::take_back_from_rehearsal() {
  std::vector<std::string> again;
  std::vector<std::string> frozen;
  for (const auto& [name, client] : clients_.all()) {
    const bool here = clients_.connected(client);
    if (client.phase == ClientPhase::prepared && here) continue;
    if (here && owes_thaw(name)) {
      if (client.required) {
        fail_update(Error{ErrorCode::timed_out,
                          "Client '" + name + "' has not answered Thaw after the rehearsal.", 0},
                    Culprit{name, ClientCall::thaw});
        return false;
      }
      frozen.push_back(name);
    } else if (here) {
      again.push_back(name);
    } else if (client.required) {
      fail_update(Error{ErrorCode::client_gone, "Client '" + name + "' left in the rehearsal.", 0},
                  Culprit{name, {}});
      return false;
    }
  }
  for (const auto& name : frozen) {
    note_left_out(name, "it has not answered Thaw.", ClientCall::thaw);
  }
  for (const auto& name : again) update_.came(name);
  return true;
}

void Engine::end_rehearsal() {
  mark(Mark::thawed);
  if (terminated_) return cancel_update("handoverd was stopped.");
  if (cancel_wanted_) return cancel_update("Cancelled on request.");
  if (tables_problem_) return fail_update(*tables_problem_);
  if (!take_back_from_rehearsal()) return;
  auto& record = *update_.edit();
  const auto over = over_limit(record.timeline, record.rehearsal->at_most_usec);
  if (!over.empty()) {
    return fail_update(Error{ErrorCode::timed_out, "In the rehearsal " + over + ".", 0},
                       Culprit{longest(record.timeline)->client, {}});
  }
  record.rehearsal->not_rehearsed =
      not_rehearsed(record.mode, sessions_.has(Keeper::luo) && !emulated());

  const auto entry = update_.outcome(generation_, host_.wall_clock());
  const auto blackout = blackout_usec(entry.timeline);
  log::event(log::Id::update_finished, log::Level::info,
             {{log::Field::update, entry.id},
              {log::Field::code, std::string(to_string(entry.outcome))},
              {log::Field::usec, blackout ? std::to_string(*blackout) : ""}},
             "Update ", entry.id, " is rehearsed; 'handoverctl update' goes on from here.");
  set_job(JobPhase::prepared, 100, "Rehearsed: 'handoverctl update' goes on, 'cancel' undoes.");
  tell_hooks_of_end(hook_context(), entry, std::exchange(undone_from_freeze_, false));
  // The next job may begin before this one's end is told.
  const auto job = std::exchange(update_.job, std::nullopt);
  outside_.manager_changed("CurrentJob");
  // What was noted of those who are left out belongs to this update, and not to the next one, in
  // which they may be prepared again.
  for (const auto& left : update_.record()->left_out) journal_.note_in_again(left.client);
  update_.go_on_from_rehearsal(next_id_++);
  log::set_update(update_.record()->id);
  journal_.note_update();
  for (const auto& [name, times] : update_.record()->timeline.clients) journal_.note_times(name);
  unwritten_.push_back(entry);
  journal_.note_head();
  // Whoever hears of the end finds its record.
  records_.add(entry, [this, alive = alive_, job, generation = generation_] {
    if (!*alive) return;
    if (job) outside_.job_removed(job->id, Outcome::done, "");
    outside_.update_finished(Outcome::rehearsed, "", generation);
    wake();
  });
}

}  // namespace handover::engine

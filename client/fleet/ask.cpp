// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ask.h"

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "calendar.h"
#include "common/log.h"
#include "health.h"
#include "lock.h"
#include "pause.h"
#include "people.h"

namespace handover::fleet {
namespace {

constexpr std::int64_t most_skew = 300;  // seconds

std::string skew_veto(std::int64_t skew) {
  return "The clock of this host is " + std::to_string(std::abs(skew)) + " s " +
         (skew < 0 ? "behind" : "ahead of") +
         " that of the lock's server, so that its maintenance windows are not to be trusted: set "
         "it ('timedatectl').";
}

/// Why it may not be now, before anybody else is asked.
std::string look_at_host(const Config& config, Answer& answer, const std::atomic<bool>& given_up) {
  const auto now = wall_clock_usec();
  auto window = look_at(config.windows, now, given_up);
  if (!window) return "The maintenance windows cannot be told: " + window.error().message + ".";
  answer.window = *window;
  auto expected = config.windows.expected_usec;
  if (config.windows.must_end_within) {
    expected = duration_of_last(read_history()).value_or(expected);
  }
  answer.expected_usec = expected;
  auto veto = window_veto(*window, now, config.windows.must_end_within, expected);
  if (!veto.empty()) return veto;

  if (config.people.inhibitors) {
    auto inhibitors = list_inhibitors();
    if (!inhibitors) return inhibitors.error().message + ".";
    veto = inhibitor_veto(*inhibitors);
    if (!veto.empty()) return veto;
  }

  if (config.health.before.empty()) return "";
  answer.health = run_checks(config.health.before, {"HANDOVER_STAGE=before"}, given_up);
  if (answer.health->empty()) return "";
  return "The host is not well before the update: " + *answer.health + ".";
}

/// The slot is ours: those who are logged in have a while to end what they do.
void warn_people(const People& people, const std::atomic<bool>& given_up) {
  if (people.message.empty() && people.delay_usec == 0) return;
  auto users = logged_in();
  if (!users) common::say(SD_WARNING, users.error().message);
  // Who cannot be told of may be there.
  if (users && users->empty()) return;
  if (!people.message.empty()) {
    if (auto told = tell_everybody(people.message, given_up); !told) {
      common::say(SD_WARNING, "Nobody was told of the update: " + told.error().message);
    }
  }
  pause(people.delay_usec, given_up);
}

}  // namespace

Answer ask_fleet(const Config& config, const Claim& claim, Server& server,
                 const std::atomic<bool>& given_up) {
  Answer answer;
  answer.event.kind = Event::Kind::no;
  answer.event.text = look_at_host(config, answer, given_up);
  if (!answer.event.text.empty()) return answer;

  LockClient lock(config.lock, server, given_up);
  answer.lock = lock.take(claim);
  answer.event.text = answer.lock->message;
  answer.event.slot = answer.lock->slot;
  switch (answer.lock->kind) {
    case LockOutcome::Kind::refused:
    case LockOutcome::Kind::untouched:
    case LockOutcome::Kind::free:
      return answer;
    case LockOutcome::Kind::uncertain:
      answer.event.kind = Event::Kind::unsure;
      return answer;
    case LockOutcome::Kind::held:
      break;
  }
  // In whose clock a window is open is not for us to say.
  if (const auto skew = lock.clock_skew(); answer.window->limited && std::abs(skew) > most_skew) {
    answer.event.kind = Event::Kind::unsure;
    answer.event.text = skew_veto(skew);
    return answer;
  }
  warn_people(config.people, given_up);
  answer.event.kind = Event::Kind::yes;
  // All of that may have taken hours.
  const auto now = wall_clock_usec();
  if (!answer.window->open_at(now)) {
    answer.event.kind = Event::Kind::unsure;
    answer.event.text = "The maintenance window has closed while the update waited.";
    return answer;
  }
  auto late =
      window_veto(*answer.window, now, config.windows.must_end_within, answer.expected_usec);
  if (!late.empty()) {
    answer.event.kind = Event::Kind::unsure;
    answer.event.text = std::move(late);
  }
  return answer;
}

std::uint64_t longest_ask_usec(const Config& config) {
  constexpr std::uint64_t spare_usec = 60'000'000;
  constexpr std::uint64_t most_usec = 86'400'000'000;
  const auto servers = std::max<std::uint64_t>(config.lock.urls.size(), 1);
  const auto sum = longest_usec(config.health.before) + config.lock.wait_usec +
                   4 * servers * config.lock.access.timeout_usec + config.people.delay_usec +
                   spare_usec;
  return std::min(sum, most_usec);
}

}  // namespace handover::fleet

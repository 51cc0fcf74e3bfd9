// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/timeline.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace handover {

namespace {

/// What happens between the mark before and this one.
std::string_view phase_before(Mark mark) {
  switch (mark) {
    case Mark::requested:
      return "";
    case Mark::preflight_done:
      return "preflight";
    case Mark::target_loaded:
      return "load";
    case Mark::clients_prepared:
      return "prepare";
    case Mark::sessions_ready:
      return "collapse";
    case Mark::freeze_begin:
      return "wait";
    case Mark::clients_frozen:
      return "freeze";
    case Mark::sealed:
      return "seal";
    case Mark::synced:
      return "sync";
    case Mark::thawed:
      return "thaw";
    case Mark::kexec_called:
      return "stop";
    case Mark::kernel_started:
      return "kexec";
    case Mark::init_started:
      return "kernel";
    case Mark::daemon_started:
      return "init";
    case Mark::sessions_found:
      return "daemon";
    case Mark::first_restored:
      return "restore";
    case Mark::clients_restored:
      return "rest";
  }
  return "";
}

std::optional<std::uint64_t> usec_between(std::optional<Ticks> from, std::optional<Ticks> to,
                                          std::uint64_t ticks_per_second) {
  if (!from || !to || ticks_per_second == 0) return std::nullopt;
  return ticks_to_usec(*to > *from ? *to - *from : 0, ticks_per_second);
}

/// An earlier version's had no `synced`, and only a rehearsal has `thawed`.
bool every_update_has(Mark mark) { return mark != Mark::synced && mark != Mark::thawed; }

template <typename Better>
std::optional<Standstill> extreme(const Timeline& timeline, Better better) {
  std::optional<Standstill> best;
  for (const auto& [client, times] : timeline.clients) {
    const auto usec = standstill_usec(times, timeline.ticks_per_second);
    if (usec && (!best || better(*usec, best->usec))) best = Standstill{client, *usec};
  }
  return best;
}

}  // namespace

std::optional<Ticks> tick_of(const Timeline& timeline, Mark mark) {
  const auto found = timeline.marks.find(mark);
  if (found == timeline.marks.end()) return std::nullopt;
  return found->second;
}

std::vector<Phase> phases(const Timeline& timeline) {
  std::vector<Phase> result;
  std::optional<Ticks> since;
  std::string name;
  bool in_blackout = false;
  for (const Mark mark : all_values<Mark>()) {
    const std::optional<Ticks> at = tick_of(timeline, mark);
    if (!at && !every_update_has(mark)) continue;
    if (since) {
      if (!name.empty()) name += "+";
      name += phase_before(mark);
    }
    if (at) {
      if (since) {
        const Ticks length = *at > *since ? *at - *since : 0;
        result.push_back({name, ticks_to_usec(length, timeline.ticks_per_second), in_blackout});
      }
      since = since ? std::max(*since, *at) : *at;
      name.clear();
      in_blackout = mark >= Mark::clients_frozen;
    }
  }
  return result;
}

std::optional<std::uint64_t> standstill_usec(const ClientTimes& times,
                                             std::uint64_t ticks_per_second) {
  return usec_between(times.frozen_at, times.running_at, ticks_per_second);
}

std::optional<Standstill> longest(const Timeline& timeline) {
  return extreme(timeline, std::greater<>());
}

std::optional<Standstill> shortest(const Timeline& timeline) {
  return extreme(timeline, std::less<>());
}

std::optional<std::uint64_t> blackout_usec(const Timeline& timeline) {
  if (const auto standstill = longest(timeline)) return standstill->usec;
  const auto running = tick_of(timeline, Mark::clients_restored);
  return usec_between(tick_of(timeline, Mark::clients_frozen),
                      running ? running : tick_of(timeline, Mark::first_restored),
                      timeline.ticks_per_second);
}

std::uint64_t ticks_to_usec(Ticks ticks, std::uint64_t ticks_per_second) {
  constexpr std::uint64_t usec_per_second = 1'000'000;
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  if (ticks_per_second == 0) return 0;
  // Whole seconds apart from the rest: the product of both in one would overflow after an hour.
  const std::uint64_t seconds = ticks / ticks_per_second;
  const std::uint64_t rest = ticks % ticks_per_second;
  if (seconds > most / usec_per_second - 1) return most;
  const std::uint64_t rest_usec = rest <= most / usec_per_second
                                      ? rest * usec_per_second / ticks_per_second
                                      : rest / (ticks_per_second / usec_per_second);
  return seconds * usec_per_second + rest_usec;
}

}  // namespace handover

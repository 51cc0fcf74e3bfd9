// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/rehearsal.h"

#include <algorithm>

#include "core/history_entry.h"
#include "core/text.h"

namespace handover {

namespace {

constexpr std::uint64_t usec_per_msec = 1000;

/// From the reboot call to the last client that runs again.
std::optional<std::uint64_t> usec_from_reboot(const Timeline& update) {
  const auto called = tick_of(update, Mark::kexec_called);
  const auto running = tick_of(update, Mark::clients_restored);
  if (!called || !running || *running < *called) return std::nullopt;
  return ticks_to_usec(*running - *called, update.ticks_per_second);
}

}  // namespace

std::optional<std::uint64_t> usec_to_reboot(const Timeline& rehearsal) {
  auto since = tick_of(rehearsal, Mark::clients_frozen);
  const auto until = tick_of(rehearsal, Mark::synced);
  if (!since || !until) return std::nullopt;
  for (const auto& [name, times] : rehearsal.clients) {
    if (times.frozen_at) since = std::min(*since, *times.frozen_at);
  }
  return *until > *since ? ticks_to_usec(*until - *since, rehearsal.ticks_per_second) : 0;
}

std::optional<BlackoutEstimate> estimate_blackout(const Timeline& rehearsal, Mode mode,
                                                  std::span<const HistoryEntry> entries) {
  const auto before = usec_to_reboot(rehearsal);
  if (!before) return std::nullopt;
  for (const auto& entry : entries) {
    const bool done = entry.outcome == Outcome::done || entry.outcome == Outcome::done_with_losses;
    if (!done || entry.mode != mode) continue;
    const auto after = usec_from_reboot(entry.timeline);
    if (after) return BlackoutEstimate{*before + *after, entry.id};
  }
  return std::nullopt;
}

std::vector<std::string> not_rehearsed(Mode mode, bool luo) {
  std::vector<std::string> parts;
  if (mode == Mode::emulated) return {"Restore"};
  if (mode == Mode::orderly) parts.emplace_back("the stop of all units");
  if (luo) parts.emplace_back("the kernel's own freeze of its sessions, in the reboot call");
  parts.emplace_back("the boot of the new kernel");
  parts.emplace_back("Restore");
  return parts;
}

std::string over_limit(const Timeline& rehearsal, std::uint64_t at_most_usec) {
  auto timeline = rehearsal;
  // Whoever does not run yet stands still.
  if (const auto thawed = tick_of(rehearsal, Mark::thawed)) {
    for (auto& [name, times] : timeline.clients) {
      if (times.frozen_at && !times.running_at) times.running_at = *thawed;
    }
  }
  const auto most = longest(timeline);
  if (at_most_usec == 0 || !most || most->usec <= at_most_usec) return "";
  return "client " + in_quotes(most->client) + " stood still for " +
         std::to_string(most->usec / usec_per_msec) + " ms, longer than " +
         std::to_string(at_most_usec / usec_per_msec) + " ms";
}

}  // namespace handover

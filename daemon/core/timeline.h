// SPDX-License-Identifier: LGPL-2.1-or-later
// When things happened in an update, in ticks of a counter that runs on through the kexec.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_words.h"
#include "core/extra.h"

namespace handover {

/// Ticks of the CPU's counter (TSC, CNTVCT): monotonic over a kexec (kernel-notes, kexec).
using Ticks = std::uint64_t;

/// The instants of an update, in their order.
enum class Mark {
  requested,
  preflight_done,
  target_loaded,
  clients_prepared,
  sessions_ready,
  freeze_begin,    ///< just before the first Freeze call is sent
  clients_frozen,  ///< the last client has answered
  sealed,
  synced,          ///< what was written since the freeze is on disk, as far as it was waited for
  thawed,          ///< a rehearsal's last client runs again; no update has it
  kexec_called,    ///< our last instruction in the old kernel
  kernel_started,  ///< the new kernel's clock began (now - uptime)
  init_started,    ///< the new kernel's PID 1 began
  daemon_started,
  sessions_found,
  first_restored,    ///< the first client runs again
  clients_restored,  ///< the last client runs again
};
constexpr auto words(Mark) {
  return std::to_array<Word<Mark>>({{Mark::requested, "requested"},
                                    {Mark::preflight_done, "preflight_done"},
                                    {Mark::target_loaded, "target_loaded"},
                                    {Mark::clients_prepared, "clients_prepared"},
                                    {Mark::sessions_ready, "sessions_ready"},
                                    {Mark::freeze_begin, "freeze_begin"},
                                    {Mark::clients_frozen, "clients_frozen"},
                                    {Mark::sealed, "sealed"},
                                    {Mark::synced, "synced"},
                                    {Mark::thawed, "thawed"},
                                    {Mark::kexec_called, "kexec_called"},
                                    {Mark::kernel_started, "kernel_started"},
                                    {Mark::init_started, "init_started"},
                                    {Mark::daemon_started, "daemon_started"},
                                    {Mark::sessions_found, "sessions_found"},
                                    {Mark::first_restored, "first_restored"},
                                    {Mark::clients_restored, "clients_restored"}});
}

struct ClientTimes {  // NOLINT(bugprone-exception-escape): of json, whose move does not throw
  std::optional<std::uint64_t> prepare_usec;
  std::optional<std::uint64_t> freeze_usec;
  std::optional<std::uint64_t> restore_usec;
  std::optional<Ticks> frozen_at;   ///< it answered Freeze
  std::optional<Ticks> running_at;  ///< it answered Restore or Thaw
  nlohmann::json extra = no_extra;
  bool operator==(const ClientTimes&) const = default;
};

struct Timeline {  // NOLINT(bugprone-exception-escape): of json, which does not throw when moved
  std::uint64_t ticks_per_second = 0;
  std::map<Mark, Ticks> marks;
  std::map<std::string, ClientTimes> clients;
  nlohmann::json extra = no_extra;  ///< a newer version's marks are in extra["marks"]
  bool operator==(const Timeline&) const = default;
};

/// nullopt: it has no such mark.
std::optional<Ticks> tick_of(const Timeline& timeline, Mark mark);

struct Phase {
  /// Before the blackout "preflight", "load", "prepare", "collapse", "wait", and "freeze", in which
  /// it begins for one client after the other; in it "seal", "sync", "stop", "kexec", "kernel",
  /// "init", "daemon", "restore" and "rest", in which it ends for them. A rehearsal has "thaw"
  /// behind "sync", and ends there.
  std::string name;
  std::uint64_t usec = 0;
  /// Lies between the first client frozen and the last one running again. Of "freeze" a part does.
  bool in_blackout = false;
  bool operator==(const Phase&) const = default;
};

/// The phases between the marks, in order. Without a mark, the phases on both sides of it are one
/// ("kernel+init"), but for "sync" and "thaw", which not every update has. If a mark is earlier
/// than the one before it (the start of a kernel is known to a few µs only), its phase is 0 long.
/// The lengths always sum up to the whole.
std::vector<Phase> phases(const Timeline& timeline);

/// How long one client stood still: it answered Freeze → it answered Restore (or Thaw). nullopt
/// until both are known.
std::optional<std::uint64_t> standstill_usec(const ClientTimes& times,
                                             std::uint64_t ticks_per_second);

struct Standstill {
  std::string client;
  std::uint64_t usec = 0;
  bool operator==(const Standstill&) const = default;
};

/// Among the clients that run again. Of two with the same length, the first by name. nullopt: there
/// is none.
std::optional<Standstill> longest(const Timeline& timeline);
std::optional<Standstill> shortest(const Timeline& timeline);

/// The blackout of an update is the longest standstill of all its clients. If none has times: last
/// client frozen → last client running again, by the marks. nullopt until both ends are known.
std::optional<std::uint64_t> blackout_usec(const Timeline& timeline);

std::uint64_t ticks_to_usec(Ticks ticks, std::uint64_t ticks_per_second);

}  // namespace handover

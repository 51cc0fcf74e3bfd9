// SPDX-License-Identifier: LGPL-2.1-or-later
// When what happened in an update, in ticks of a counter that runs on through the kexec.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

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
  kexec_called,    ///< the last instruction of ours in the old kernel
  kernel_started,  ///< the new kernel's clock began (now - uptime)
  init_started,    ///< the new kernel's PID 1 began
  daemon_started,
  sessions_found,
  first_restored,    ///< the first client runs again
  clients_restored,  ///< the last client runs again
};

struct ClientTimes {
  std::optional<std::uint64_t> prepare_usec;
  std::optional<std::uint64_t> freeze_usec;
  std::optional<std::uint64_t> restore_usec;
  std::optional<Ticks> frozen_at;                   ///< it answered Freeze
  std::optional<Ticks> running_at;                  ///< it answered Restore or Thaw
  nlohmann::json extra = nlohmann::json::object();  ///< fields a newer version wrote, kept
  bool operator==(const ClientTimes&) const = default;
};

struct Timeline {
  std::uint64_t ticks_per_second = 0;
  std::map<Mark, Ticks> marks;
  std::map<std::string, ClientTimes> clients;
  nlohmann::json extra =
      nlohmann::json::object();  ///< a newer version's marks are in extra["marks"]
  bool operator==(const Timeline&) const = default;
};

struct Phase {
  /// Before the blackout "preflight", "load", "prepare", "collapse", "wait", "freeze"; in it
  /// "seal", "stop", "kexec", "kernel", "init", "daemon", "restore"; after it "rest".
  std::string name;
  std::uint64_t usec = 0;
  bool in_blackout = false;  ///< lies between the last client frozen and the first one running
  bool operator==(const Phase&) const = default;
};

/// The phases between the marks that are there, in order, each named for the mark it ends at; a
/// missing mark joins its neighbours ("kernel+init"). A mark that lies before an earlier one (the
/// start of a kernel is known to some µs only) makes a phase of 0: the phases always sum up.
std::vector<Phase> phases(const Timeline& timeline);

/// Blackout as design.md defines it: last client frozen → first client running again, by the marks;
/// by the clients' own times where a mark is missing (an update that was thawed). nullopt until
/// both ends are known.
std::optional<std::uint64_t> blackout_usec(const Timeline& timeline);

/// Of one client: it answered Freeze → it answered Restore (or Thaw).
std::optional<std::uint64_t> blackout_usec(const ClientTimes& times,
                                           std::uint64_t ticks_per_second);

std::uint64_t ticks_to_usec(Ticks ticks, std::uint64_t ticks_per_second);

std::string_view to_string(Mark mark);

nlohmann::json to_json(const Timeline& timeline);
/// invalid_argument with the field. Unknown fields are kept, and unknown marks.
Result<Timeline> timeline_from_json(const nlohmann::json& json);

/// One finished update, as /var/lib/handover keeps it and GetHistory returns it.
struct HistoryEntry {
  std::uint64_t id = 0;
  std::uint64_t generation = 0;  ///< after the update
  std::string outcome;           ///< "done", "done-with-losses", "cancelled", "failed"
  std::string reason;            ///< names the culprit unless done
  std::string mode;
  std::string from_release;
  std::string to_release;
  std::string finished_at;  ///< RFC 3339, UTC
  Timeline timeline;
  std::vector<std::string> losses;                  ///< one sentence each, per session or client
  nlohmann::json extra = nlohmann::json::object();  ///< fields a newer version wrote, kept
  bool operator==(const HistoryEntry&) const = default;
};

/// With "phases" and "blackout_usec" worked out for readers that know no ticks; ignored when read.
nlohmann::json to_json(const HistoryEntry& entry);
/// invalid_argument with the field.
Result<HistoryEntry> history_from_json(const nlohmann::json& json);

}  // namespace handover

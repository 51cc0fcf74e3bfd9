// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's configuration as plain values, parsed from JSON once.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_words.h"
#include "core/error.h"
#include "core/finding.h"
#include "core/words.h"

namespace handover {

/// What happens to state that nobody has claimed when claim_timeout is over.
enum class Unclaimed {
  free,  ///< it is reported and freed
  keep,  ///< it is reported and kept until somebody claims or finishes it
};
constexpr auto words(Unclaimed) {
  return std::to_array<Word<Unclaimed>>({{Unclaimed::free, "free"}, {Unclaimed::keep, "keep"}});
}

/// What happens to the state of a client that the update did not freeze: the client may have
/// written into it until the kexec.
enum class IfNotFrozen {
  discard,  ///< it is reported and freed
  restore,  ///< the client restores it, and is told that it was not frozen
};
constexpr auto words(IfNotFrozen) {
  return std::to_array<Word<IfNotFrozen>>(
      {{IfNotFrozen::discard, "discard"}, {IfNotFrozen::restore, "restore"}});
}

struct ClientLimits {  ///< settings of one client
  std::optional<std::uint64_t> prepare_timeout_usec;
  std::optional<std::uint64_t> freeze_timeout_usec;
  std::optional<std::uint64_t> restore_timeout_usec;
  std::optional<bool> required;
  IfNotFrozen if_not_frozen = IfNotFrozen::discard;
  bool operator==(const ClientLimits&) const = default;
};

struct HookSettings {
  std::uint64_t timeout_usec = 30'000'000;  ///< of each hook
  bool in_blackout = false;  ///< those of stage freeze run when all clients are frozen
  bool operator==(const HookSettings&) const = default;
};

/// What says whether a new kernel is well.
struct HealthConfig {
  std::vector<std::string> command;  ///< argv; empty: none
  std::uint64_t timeout_usec = 60'000'000;
  bool operator==(const HealthConfig&) const = default;
};

/// What resets a new kernel that hangs.
struct WatchdogConfig {
  std::string device;  ///< "/dev/watchdog0"; "": none
  std::uint64_t timeout_usec = 120'000'000;
  bool operator==(const WatchdogConfig&) const = default;
};

struct Config {
  std::optional<Keeper> backend;      ///< absent ("auto"): what is there
  std::uint64_t restore_threads = 0;  ///< of the tracker, after the last client; 0: one a processor
  bool collapse = true;               ///< collapse shmem memfds into huge pages while preparing
  Mode mode = Mode::immediate;        ///< default of Update: immediate or orderly
  std::string kernel;                 ///< default target; "": the newest of its kind
  std::string cmdline;                ///< "": the running kernel's
  std::uint64_t prepare_timeout_usec = 60'000'000;
  std::uint64_t freeze_timeout_usec = 5'000'000;
  std::uint64_t freeze_budget_usec = 30'000'000;  ///< from the first Freeze to the seal, at most
  std::uint64_t sync_timeout_usec = 10'000'000;   ///< of all local file systems, before the freeze
  std::uint64_t thaw_timeout_usec = 5'000'000;
  std::uint64_t restore_timeout_usec = 30'000'000;  ///< per client, once it is called
  std::uint64_t boot_gate_usec =
      3'000'000;  ///< how long the rest of the boot waits for the restore
  std::uint64_t claim_timeout_usec = 300'000'000;
  Unclaimed unclaimed = Unclaimed::free;
  // 0: as the host allows.
  std::uint64_t max_sessions_per_user = 0;  ///< 0: by the host's memory
  std::uint64_t max_descriptors_per_user = 4096;
  std::uint64_t max_bytes_per_user = 0;    ///< root is not limited by bytes
  std::uint64_t max_clients_per_user = 0;  ///< 0: by the host's memory
  std::uint64_t max_needs_per_client = 64;
  std::string socket_group;             ///< whose members have a socket of their own; "": none
  std::uint64_t history_entries = 100;  ///< how many records are kept
  Rulings preflight;                    ///< how grave findings are here
  HookSettings hooks;
  HealthConfig health;
  WatchdogConfig watchdog;
  bool bless = false;  ///< a good kernel becomes the boot loader's default
  std::map<std::string, ClientLimits> clients;
  bool operator==(const Config&) const = default;
};

/// JSON as config/handoverd.schema.json describes it: durations are strings as systemd writes
/// them
/// ("500ms", "5s", "2min") or whole seconds. An unknown field, a wrong type or a value out of
/// range is invalid_argument with the line where the parser knows it, the field and what is
/// allowed.
Result<Config> parse_config(std::string_view text);

/// "1h 30min", "500ms", "90" (seconds) → microseconds.
Result<std::uint64_t> parse_duration(std::string_view text);

}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's configuration as plain values, parsed once at the border from JSON.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace handover {

struct ClientLimits {  ///< overrides of one client, by its name
  std::optional<std::uint64_t> prepare_timeout_usec;
  std::optional<std::uint64_t> freeze_timeout_usec;
  std::optional<std::uint64_t> restore_timeout_usec;
  std::optional<bool> required;
  bool operator==(const ClientLimits&) const = default;
};

struct Config {
  std::string backend = "auto";       ///< "auto", "luo", "tracker", "emulated"
  std::uint64_t restore_threads = 0;  ///< of the tracker, after the last client; 0: one a processor
  bool collapse = true;               ///< collapse shmem memfds into huge pages while preparing
  std::string mode = "immediate";     ///< default of Update: "immediate" or "orderly"
  std::string kernel;                 ///< default target; "": the newest image in /boot
  std::string cmdline;                ///< "": the running kernel's
  std::uint64_t prepare_timeout_usec = 60'000'000;
  std::uint64_t freeze_timeout_usec = 5'000'000;
  std::uint64_t thaw_timeout_usec = 5'000'000;
  std::uint64_t restore_timeout_usec = 30'000'000;  ///< per client, once it is called
  std::uint64_t boot_gate_usec = 3'000'000;  ///< the rest of the boot waits so long for the restore
  std::uint64_t claim_timeout_usec = 300'000'000;  ///< until what nobody claims is freed
  std::uint64_t max_sessions_per_user = 256;
  std::uint64_t max_descriptors_per_user = 4096;
  std::uint64_t max_bytes_per_user = UINT64_C(1) << 50;  ///< root is not limited by bytes
  std::uint64_t history_entries = 100;                   ///< how many records are kept
  std::map<std::string, ClientLimits> clients;
  bool operator==(const Config&) const = default;
};

/// JSON as config/handoverd.schema.json describes it: durations are strings as systemd writes them
/// ("500ms", "5s", "2min") or whole seconds. An unknown field, a wrong type or a value out of range
/// is invalid_argument with the line where the parser knows it, the field and what is allowed.
Result<Config> parse_config(std::string_view text);

/// "1h 30min", "500ms", "90" (seconds) → microseconds.
Result<std::uint64_t> parse_duration(std::string_view text);

}  // namespace handover

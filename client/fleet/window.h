// SPDX-License-Identifier: LGPL-2.1-or-later
// Maintenance windows: whether one is open, as a function of when each elapses. Times are
// CLOCK_REALTIME, in microseconds.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace handover::fleet {

/// One window: when it elapses, in order, from `length_usec` before now on, and how long it is open
/// then.
struct Elapses {
  std::vector<std::uint64_t> at;
  std::uint64_t length_usec = 0;
};

struct WindowState {
  bool limited = false;                 ///< there are windows; otherwise it is always open
  std::optional<std::uint64_t> closes;  ///< one is open until then
  std::optional<std::uint64_t> opens;   ///< when the next one opens; none: never again

  [[nodiscard]] bool open() const { return !limited || closes.has_value(); }
  /// A while after it was looked at.
  [[nodiscard]] bool open_at(std::uint64_t now) const {
    return !limited || (closes.has_value() && now < *closes);
  }
  bool operator==(const WindowState&) const = default;
};

/// `windows` {}: always open. One that follows another without a gap counts as its continuation.
WindowState look_at_windows(const std::vector<Elapses>& windows, std::uint64_t now);

/// Why an update that takes `expected_usec` may not begin now; "" if it may.
std::string window_veto(const WindowState& state, std::uint64_t now, bool must_end_within,
                        std::uint64_t expected_usec);

/// The same at Freeze, by what was looked at last: nothing, with why (`failure`), is a veto. From
/// prepared, an update may come long after its Prepare.
std::string freeze_veto(const std::optional<WindowState>& state, const std::string& failure,
                        std::uint64_t now, bool must_end_within, std::uint64_t expected_usec);

/// What `systemd-analyze calendar --iterations=N` says, with LC_ALL=C: when it elapses. It says it
/// in the host's time zone, and in UTC as well where that differs. {}: never.
client::Result<std::vector<std::uint64_t>> parse_elapses(std::string_view output);

/// "2026-12-05T01:00:00Z", and back.
std::string utc(std::uint64_t usec);
std::optional<std::uint64_t> parse_utc(std::string_view text);

/// How long the newest update that was done took: what a record of the daemon's history says
/// (docs/history.md), from the request to its last client. `history` is its JSON array.
std::optional<std::uint64_t> duration_of_last(const std::string& history);

}  // namespace handover::fleet

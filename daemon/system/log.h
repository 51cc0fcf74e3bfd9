// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's log: lines and events for the journal, or for stderr where that is no journal.
// Any thread. Nothing here waits for a reader: lines go into a bounded ring (log_ring.h), and what
// finds it full is dropped and counted.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "system/log_events.h"

namespace handover::log {

enum class Level { debug, info, warning, error, critical };

/// Whether lines go to the journal: systemd sets JOURNAL_STREAM if stderr leads there
/// (systemd.exec(5)).
bool to_journal();

/// Once, before anything is logged; `debug` lets the lowest level through, too. When the process
/// exits, what is left is written, for at most a second.
void set_up(bool debug);

/// The lowest level that is let through, by syslog's name of it ("debug", "info", "warning", "err",
/// "crit").
std::string_view level_name();
/// By any of syslog's eight names (org.freedesktop.LogControl1(5)). "notice" is "info" here, and
/// what is more severe than "crit" is "crit". False: there is no such name.
bool set_level(std::string_view name);
bool enabled(Level level);

/// Waits until everything logged before is with its reader, `usec` at most; false if it is not.
/// Before kexec, execve() and exit: they take the ring along.
bool flush(std::uint64_t usec) noexcept;
/// Lines dropped since the start.
std::uint64_t dropped();
/// Lines not yet written.
std::size_t waiting();

void write(Level level, std::string_view line) noexcept;

/// The value of a field: a text or a whole number.
struct Value {
  Value(std::string_view value) : text(value) {}    // NOLINT(google-explicit-constructor)
  Value(const std::string& value) : text(value) {}  // NOLINT(google-explicit-constructor)
  Value(const char* value) : text(value) {}         // NOLINT(google-explicit-constructor)
  template <std::integral Number>
  Value(Number value) : text(std::to_string(value)) {}  // NOLINT(google-explicit-constructor)

  std::string text;
};
struct FieldValue {
  Field field = Field::update;
  Value value;
};

/// The update that runs, which becomes a field of every event that names none; 0: none does.
void set_update(std::uint64_t id);

/// A line with its MESSAGE_ID and fields. A field without a value is left out: it is not known.
void write_event(Id id, Level level, std::initializer_list<FieldValue> fields,
                 std::string_view line) noexcept;

namespace detail {
inline void append(std::string& line, std::string_view part) { line += part; }
template <std::integral Number>
void append(std::string& line, Number part) {
  line += std::to_string(part);
}
template <typename... Parts>
std::string joined(const Parts&... parts) {
  std::string line;
  (append(line, parts), ...);
  return line;
}
template <typename... Parts>
void write_all(Level level, const Parts&... parts) {
  if (enabled(level)) write(level, joined(parts...));
}
}  // namespace detail

/// One line each, of texts and whole numbers, one behind the other.
template <typename... Parts>
void debug(const Parts&... parts) {
  detail::write_all(Level::debug, parts...);
}
template <typename... Parts>
void info(const Parts&... parts) {
  detail::write_all(Level::info, parts...);
}
template <typename... Parts>
void warning(const Parts&... parts) {
  detail::write_all(Level::warning, parts...);
}
template <typename... Parts>
void error(const Parts&... parts) {
  detail::write_all(Level::error, parts...);
}
template <typename... Parts>
void critical(const Parts&... parts) {
  detail::write_all(Level::critical, parts...);
}
template <typename... Parts>
void event(Id id, Level level, std::initializer_list<FieldValue> fields, const Parts&... parts) {
  if (enabled(level)) write_event(id, level, fields, detail::joined(parts...));
}

}  // namespace handover::log

// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's log: lines for the journal, or for stderr where that is no journal. spdlog is behind
// it, in log.cpp alone: its headers take longer to compile than all others together. Any thread.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace handover::log {

enum class Level { debug, info, warning, error, critical };

/// Whether lines go to the journal: systemd sets JOURNAL_STREAM where stderr does
/// (systemd.exec(5)).
bool to_journal();

/// Once, before anything is logged; `debug` lets the lowest level through, too.
void set_up(bool debug);

/// What is let through, by syslog's name of it ("debug", "info", "warning", "err", "crit").
std::string_view level_name();
/// By any of syslog's eight names (org.freedesktop.LogControl1(5)); those between ours stand for
/// the next graver one. False: there is no such name.
bool set_level(std::string_view name);

void write(Level level, std::string_view line);

namespace detail {
inline void append(std::string& line, std::string_view part) { line += part; }
template <std::integral Number>
void append(std::string& line, Number part) {
  line += std::to_string(part);
}
template <typename... Parts>
void write_all(Level level, const Parts&... parts) {
  std::string line;
  (append(line, parts), ...);
  write(level, line);
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

}  // namespace handover::log

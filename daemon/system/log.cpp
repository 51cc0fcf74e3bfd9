// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdlib>
#include <utility>

namespace handover::log {

namespace {

using Name = std::pair<std::string_view, spdlog::level::level_enum>;
// The last name of a level is the one that level_name() gives.
constexpr std::array<Name, 8> names{{{"emerg", spdlog::level::critical},
                                     {"alert", spdlog::level::critical},
                                     {"crit", spdlog::level::critical},
                                     {"err", spdlog::level::err},
                                     {"warning", spdlog::level::warn},
                                     {"notice", spdlog::level::info},
                                     {"info", spdlog::level::info},
                                     {"debug", spdlog::level::debug}}};

spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::critical:
      break;
  }
  return spdlog::level::critical;
}

}  // namespace

bool to_journal() {
  return std::getenv("JOURNAL_STREAM") != nullptr;  // NOLINT(concurrency-mt-unsafe): never set here
}

void set_up(bool debug) {
  auto logger =
      to_journal() ? spdlog::systemd_logger_mt("handoverd") : spdlog::stderr_color_mt("handoverd");
  if (!to_journal()) logger->set_pattern("handoverd: %l: %v");
  spdlog::set_default_logger(logger);
  spdlog::set_level(debug ? spdlog::level::debug : spdlog::level::info);
}

std::string_view level_name() {
  std::string_view name = "info";
  for (const auto& [text, level] : names) {
    if (level == spdlog::get_level()) name = text;
  }
  return name;
}

bool set_level(std::string_view name) {
  for (const auto& [text, level] : names) {
    if (text != name) continue;
    spdlog::set_level(level);
    return true;
  }
  return false;
}

void write(Level level, std::string_view line) {
  spdlog::default_logger_raw()->log(level_of(level),
                                    spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace handover::log

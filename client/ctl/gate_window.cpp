// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gate_window.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "progress.h"
#include "signals.h"

namespace handover::ctl {
namespace {

constexpr auto poll = std::chrono::milliseconds(250);
/// A gate that is started anew is away for so long at most: its unit waits for 5 s, it for the bus.
constexpr auto longest_absence = std::chrono::seconds(30);

client::Error no_gate(const std::string& why) {
  return {"", "No maintenance window to wait for: " + why, ENOENT};
}

/// Elsewhere in a test.
std::string status_file() {
  const char* given = getenv("HANDOVER_FLEET_STATUS");  // NOLINT(concurrency-mt-unsafe)
  return given ? given : "/run/handover-fleet/status.json";
}

std::string read_whole(const std::string& path) {
  std::string text;
  if (FILE* file = fopen(path.c_str(), "re")) {
    char buffer[4096];  // NOLINT(modernize-avoid-c-arrays)
    for (std::size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), file)) > 0;) {
      text.append(buffer, n);
    }
    (void)fclose(file);
  }
  return text;
}

/// One that was killed had no time to take its file away.
bool is_alive(pid_t pid) { return kill(pid, 0) == 0 || errno != ESRCH; }

}  // namespace

client::Result<std::optional<GateWindow>> parse_gate_window(
    const std::string& text, const std::function<bool(pid_t)>& lives) {
  const auto document = nlohmann::json::parse(text, nullptr, false);
  const auto pid = document.is_object() ? document.find("pid") : document.end();
  const bool has_pid = pid != document.end() && pid->is_number_integer();
  if (text.empty() || (has_pid && !lives(pid->get<pid_t>()))) {
    return no_gate("handover-fleet does not run here; start it, or leave --wait-for-window out.");
  }
  const nlohmann::json none;
  const auto field = [&](const char* name) -> const nlohmann::json& {
    const nlohmann::json::json_pointer where(std::string("/window/") + name);
    return document.is_object() && document.contains(where) ? document.at(where) : none;
  };
  if (field("failure").is_string()) {
    return no_gate("handover-fleet cannot tell it: " + field("failure").get<std::string>() + ".");
  }
  if (!field("open").is_boolean()) return std::optional<GateWindow>();
  GateWindow window;
  window.open = field("open").get<bool>();
  if (field("opens").is_string()) window.opens = field("opens").get<std::string>();
  return std::optional(window);
}

Outcome wait_for_window(Context context) {
  catch_interrupts();
  Progress progress(context.json || context.quiet);
  std::string told;
  std::optional<std::chrono::steady_clock::time_point> known;
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    auto window = parse_gate_window(read_whole(status_file()), is_alive);
    const bool knows = window && *window;
    if (knows) known = now;
    // Once it was known, whoever has told it may be on the way back.
    if (!window && (!known || now - *known > longest_absence)) return window.error();
    if (knows && (*window)->open) return ExitCode::ok;
    if (knows && (*window)->opens.empty()) return no_gate("none opens any more.");
    if (knows && (*window)->opens != told) {
      told = (*window)->opens;
      progress.say("Waiting for the maintenance window that opens at " + told + ".");
    }
    if (interrupts() > 0) {
      return client::Error{HANDOVER_ERROR_PREFIX "Cancelled",
                           "Interrupted before the window opened: nothing was begun.", EINTR};
    }
    std::this_thread::sleep_for(poll);
  }
}

}  // namespace handover::ctl

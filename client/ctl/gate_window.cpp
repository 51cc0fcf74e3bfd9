// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gate_window.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "progress.h"
#include "signals.h"

namespace handover::ctl {
namespace {

constexpr auto poll = std::chrono::milliseconds(250);

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

}  // namespace

client::Result<std::optional<GateWindow>> parse_gate_window(const std::string& text) {
  if (text.empty()) {
    return no_gate("handover-fleet does not run here; start it, or leave --wait-for-window out.");
  }
  const auto document = nlohmann::json::parse(text, nullptr, false);
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
  for (;;) {
    auto window = parse_gate_window(read_whole(status_file()));
    if (!window) return window.error();
    if (*window && (*window)->open) return ExitCode::ok;
    if (*window && (*window)->opens.empty()) return no_gate("none opens any more.");
    if (*window && (*window)->opens != told) {
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

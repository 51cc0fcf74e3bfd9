// SPDX-License-Identifier: LGPL-2.1-or-later
#include "calendar.h"

#include <cerrno>
#include <string>
#include <vector>

#include "program.h"
#include "text.h"

namespace handover::fleet {
namespace {

constexpr std::uint64_t analyze_limit_usec = 10'000'000;
constexpr std::uint64_t calendar_usec_per_second = 1'000'000;
/// So many elapses, from a window's length before now on, tell an open one and the next.
constexpr const char* iterations = "--iterations=32";

client::Result<std::vector<std::uint64_t>> elapses_since(const std::string& calendar,
                                                         std::uint64_t since,
                                                         const std::atomic<bool>& given_up) {
  const auto base = "--base-time=@" + std::to_string(since / calendar_usec_per_second);
  auto ended =
      run_program({"systemd-analyze", "calendar", iterations, base, "--", calendar},
                  {"LC_ALL=C", "SYSTEMD_COLORS=0"}, analyze_limit_usec, given_up);
  if (!ended) return ended.error();
  if (!ended->well) {
    const auto said = one_line(ended->complaint);
    return client::Error{"", said.empty() ? "systemd-analyze " + ended->how : said, EINVAL};
  }
  return parse_elapses(ended->output);
}

}  // namespace

client::Result<WindowState> look_at(const Windows& windows, std::uint64_t now,
                                    const std::atomic<bool>& given_up) {
  std::vector<Elapses> all;
  for (const auto& window : windows.list) {
    auto at = elapses_since(window.calendar, now - window.length_usec, given_up);
    if (!at) return at.error();
    all.push_back({std::move(*at), window.length_usec});
  }
  return look_at_windows(all, now);
}

client::Result<void> check_calendar(const Window& window, const std::atomic<bool>& given_up) {
  auto at = elapses_since(window.calendar, 0, given_up);
  if (!at) return at.error();
  return {};
}

}  // namespace handover::fleet

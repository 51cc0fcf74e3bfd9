// SPDX-License-Identifier: LGPL-2.1-or-later
#include "calendar.h"

#include <cerrno>
#include <string>
#include <vector>

#include "pause.h"
#include "program.h"
#include "text.h"

namespace handover::fleet {
namespace {

constexpr std::uint64_t analyze_limit_usec = 10'000'000;
/// So many elapses at a time: what it says of them must fit in a program's output.
constexpr std::size_t page = 200;
/// A window that elapses each minute is asked for two days, its longest length before now and the
/// same behind.
constexpr std::size_t most_elapses = 6000;
constexpr std::uint64_t far_enough_usec = 86'400'000'000;

client::Result<std::vector<std::uint64_t>> elapses_since(const std::string& calendar,
                                                         std::uint64_t since,
                                                         const std::atomic<bool>& given_up) {
  const auto base = "--base-time=@" + std::to_string(since / usec_per_second);
  const auto iterations = "--iterations=" + std::to_string(page);
  auto ended = run_program({"systemd-analyze", "calendar", iterations, base, "--", calendar},
                           {"LC_ALL=C", "SYSTEMD_COLORS=0"}, analyze_limit_usec, given_up);
  if (!ended) return ended.error();
  if (!ended->well) {
    const auto said = one_line(ended->complaint);
    const bool is_wrong = said.find("Failed to parse") != std::string::npos;
    return client::Error{"", said.empty() ? "systemd-analyze " + ended->how : said,
                         is_wrong ? EINVAL : EIO};
  }
  return parse_elapses(ended->output);
}

/// From a window's length before now on, until it is known when it closes and opens again; one that
/// does not close is known for a day.
client::Result<Elapses> elapses_of(const Window& window, std::uint64_t now,
                                   const std::atomic<bool>& given_up) {
  Elapses all{{}, window.length_usec};
  auto since = now - window.length_usec;
  for (;;) {
    auto more = elapses_since(window.calendar, since, given_up);
    if (!more) return more.error();
    all.at.insert(all.at.end(), more->begin(), more->end());
    if (more->size() < page || all.at.size() >= most_elapses) return all;
    since = all.at.back();
    if (since > now + far_enough_usec || look_at_windows({all}, now).opens) return all;
  }
}

}  // namespace

client::Result<WindowState> look_at(const Windows& windows, std::uint64_t now,
                                    const std::atomic<bool>& given_up) {
  std::vector<Elapses> all;
  for (const auto& window : windows.list) {
    auto elapses = elapses_of(window, now, given_up);
    if (!elapses) return elapses.error();
    all.push_back(std::move(*elapses));
  }
  return look_at_windows(all, now);
}

client::Result<void> check_calendar(const Window& window, const std::atomic<bool>& given_up) {
  auto at = elapses_since(window.calendar, 0, given_up);
  if (!at) return at.error();
  return {};
}

}  // namespace handover::fleet

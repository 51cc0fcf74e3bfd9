// SPDX-License-Identifier: LGPL-2.1-or-later
#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "format.h"
#include "table.h"

namespace handover::ctl {

Progress::Progress(bool quiet)
    : quiet_(quiet),
      terminal_(isatty(STDERR_FILENO) != 0),
      started_(std::chrono::steady_clock::now()) {}

std::string Progress::bar_line(const std::string& phase, std::uint64_t percent,
                               const std::string& detail, std::size_t width) {
  constexpr std::size_t bar_width = 24;
  percent = std::min<std::uint64_t>(percent, 100);
  const std::string bar = format_bar(percent, 100, bar_width);
  std::string number = std::to_string(percent);
  number.insert(0, 3 - number.size(), ' ');
  std::string line =
      "│" + bar + std::string(bar_width - text_width(bar), ' ') + "│ " + number + "%  " + phase;
  if (!detail.empty()) line += ": " + detail;
  return fit_text(line, width);
}

std::string Progress::waiting_for(const std::vector<std::string>& clients) {
  if (clients.empty()) return "";
  std::string text = " Waiting for '" + clients.front() + "'";
  const auto others = clients.size() - 1;
  if (others == 1) text += " and '" + clients.back() + "'";
  if (others > 1) text += " and " + std::to_string(others) + " others";
  return text + ".";
}

void Progress::show(const std::string& phase, std::uint64_t percent, const std::string& detail) {
  if (quiet_) return;
  if (terminal_) {
    winsize size = {};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40;
    // One column is left free: some terminals wrap upon the last one.
    const std::size_t width = (known ? size.ws_col : default_width) - 1;
    fprintf(stderr, "\r%s\033[K", bar_line(phase, percent, detail, width).c_str());
    fflush(stderr);
    shown_ = true;
    return;
  }
  if (phase == phase_) return;
  phase_ = phase;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
  std::array<char, default_width> start = {};
  snprintf(start.data(), start.size(), "%9.3f s  %-10s ", elapsed.count(), phase.c_str());
  fprintf(stderr, "%s\n", fit_text(start.data() + detail, default_width).c_str());
}

void Progress::say(const std::string& line) {
  if (quiet_) return;
  clear();
  fprintf(stderr, "%s\n", one_line(line).c_str());
}

void Progress::clear() {
  if (!shown_) return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
  shown_ = false;
}

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "format.h"

namespace handover::ctl {
namespace {

constexpr std::size_t gap = 2;
constexpr std::size_t least_flexible_width = 8;

}  // namespace

std::string Table::text(std::size_t width, bool titles) const {
  const std::size_t count = columns_.size();
  std::vector<std::size_t> widths(count);
  for (std::size_t i = 0; i < count; ++i) {
    widths[i] = titles ? text_width(columns_[i].title) : 0;
    for (const auto& row : rows_) widths[i] = std::max(widths[i], text_width(row[i]));
  }
  const auto total = [&] {
    std::size_t sum = gap * (count - 1);
    for (const auto one : widths) sum += one;
    return sum;
  };
  while (total() > width) {
    std::size_t widest = count;
    for (std::size_t i = 0; i < count; ++i) {
      const auto least = std::max(least_flexible_width, text_width(columns_[i].title));
      if (!columns_[i].flexible || widths[i] <= least) continue;
      if (widest == count || widths[i] > widths[widest]) widest = i;
    }
    if (widest == count) break;  // nothing more can give way
    --widths[widest];
  }

  std::string out;
  const auto add_line = [&](auto&& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string cell = fit_text(cell_of(i), widths[i]);
      const std::string padding(widths[i] - text_width(cell), ' ');
      line += columns_[i].right ? padding + cell : cell + padding;
      if (i + 1 < count) line += std::string(gap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  if (titles) add_line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) {
    add_line([&](std::size_t i) -> const std::string& { return row[i]; });
  }
  return out;
}

std::size_t output_width() {
  winsize size = {};
  if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0) {
    return default_width;
  }
  return size.ws_col >= 40 ? size.ws_col : default_width;
}

}  // namespace handover::ctl

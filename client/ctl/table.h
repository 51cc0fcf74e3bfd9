// SPDX-License-Identifier: LGPL-2.1-or-later
// A table of text that fits a given width.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace handover::ctl {

inline constexpr std::size_t default_width = 80;

struct Column {
  std::string title;
  bool right = false;     ///< numbers
  bool flexible = false;  ///< may be cut, with "…", down to its title or 8 characters
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// As many cells as columns.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }

  /// Title line and rows, two spaces between columns, no space at the end of a line. The widest of
  /// the flexible columns gives way first.
  [[nodiscard]] std::string text(std::size_t width = default_width, bool titles = true) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// The terminal's width if stdout is one, else default_width.
std::size_t output_width();

}  // namespace handover::ctl

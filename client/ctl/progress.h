// SPDX-License-Identifier: LGPL-2.1-or-later
// An update's progress on stderr: a bar on a terminal, a line for each phase elsewhere.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace handover::ctl {

class Progress {
 public:
  explicit Progress(bool quiet);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  void show(const std::string& phase, std::uint64_t percent, const std::string& detail);
  /// A line that stays.
  void say(const std::string& line);
  /// Takes the bar away.
  void clear();

  /// " Waiting for 'a' and 2 others.", to stand behind a sentence; "" for nobody.
  static std::string waiting_for(const std::vector<std::string>& clients);
  /// The bar's line, without the escape codes around it.
  static std::string bar_line(const std::string& phase, std::uint64_t percent,
                              const std::string& detail, std::size_t width);

 private:
  bool quiet_;
  bool terminal_;
  bool shown_ = false;
  std::string phase_;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace handover::ctl

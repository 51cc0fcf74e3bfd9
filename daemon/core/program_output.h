// SPDX-License-Identifier: LGPL-2.1-or-later
// What a program that we run prints, as lines: no more and no longer ones than somebody reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace handover {

class ProgramOutput {
 public:
  static constexpr std::size_t most_lines = 200;
  static constexpr std::size_t most_line_bytes = 1024;

  /// `line` gets each line, printable, up to `most_lines` of them.
  explicit ProgramOutput(std::function<void(const std::string&)> line) : line_(std::move(line)) {}

  void take(std::string_view bytes);
  /// The end of the output: a last line may have no newline.
  void end();

  /// The last line that says something; "" if there is none. Also of those that were left out.
  [[nodiscard]] const std::string& last_line() const { return last_; }
  /// Lines that `line` did not get.
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

 private:
  void end_line();

  std::function<void(const std::string&)> line_;
  std::string begun_;  ///< of a line: as much of it as is shown, and a byte
  std::string last_;
  std::size_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace handover

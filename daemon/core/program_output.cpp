// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/program_output.h"

#include <algorithm>

#include "core/text.h"

namespace handover {

void ProgramOutput::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    const auto part = bytes.substr(0, end);
    // A byte more than is shown, so that printable() sees that it is cut.
    const auto room = most_line_bytes + 1 - begun_.size();
    begun_ += part.substr(0, std::min(part.size(), room));
    if (end == std::string_view::npos) return;
    end_line();
    bytes.remove_prefix(end + 1);
  }
}

void ProgramOutput::end() {
  if (!begun_.empty()) end_line();
}

void ProgramOutput::end_line() {
  while (!begun_.empty() && (begun_.back() == ' ' || begun_.back() == '\r')) begun_.pop_back();
  if (!begun_.empty()) {
    last_ = printable(begun_, most_line_bytes);
    if (lines_ < most_lines) {
      ++lines_;
      line_(last_);
    } else {
      ++left_out_;
    }
  }
  begun_.clear();
}

}  // namespace handover

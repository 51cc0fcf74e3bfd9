// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon logs, kept for a test to look at.
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "system/log_ring.h"

namespace handover::test {

/// From its making to its end; then lines go to stderr.
class LogCapture {
 public:
  LogCapture() {
    log::use_sink([kept = kept_](const log::Line& line) {
      const std::lock_guard lock(kept->mutex);
      kept->lines.push_back(line);
      return log::Taken::yes;
    });
  }
  ~LogCapture() { log::use_sink(log::stderr_sink()); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  /// What was logged so far, of that level or above. On a busy machine, that the loop was late may
  /// be among it, as a warning.
  [[nodiscard]] std::vector<log::Line> lines(log::Level least = log::Level::debug) const {
    log::flush(60'000'000);
    const std::lock_guard lock(kept_->mutex);
    std::vector<log::Line> lines;
    std::copy_if(kept_->lines.begin(), kept_->lines.end(), std::back_inserter(lines),
                 [least](const log::Line& line) { return line.level >= least; });
    return lines;
  }

 private:
  struct Kept {
    std::mutex mutex;
    std::vector<log::Line> lines;
  };
  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

inline bool has_field(const log::Line& line, const std::string& field) {
  return std::find(line.fields.begin(), line.fields.end(), field) != line.fields.end();
}

}  // namespace handover::test

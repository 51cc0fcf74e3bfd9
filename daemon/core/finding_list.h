// SPDX-License-Identifier: LGPL-2.1-or-later
// Gathers what the rules of preflight find.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/finding.h"

namespace handover {

class FindingList {
 public:
  /// With its usual severity.
  void add(FindingId id, std::string message, std::string advice) {
    list_.push_back({id, usual_severity(id), std::move(message), std::move(advice)});
  }
  [[nodiscard]] std::vector<Finding> take() { return std::move(list_); }

 private:
  std::vector<Finding> list_;
};

}  // namespace handover

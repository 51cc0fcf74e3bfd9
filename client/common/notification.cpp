// SPDX-License-Identifier: LGPL-2.1-or-later
#include "notification.h"

#include <algorithm>
#include <array>

namespace handover::common {
namespace {

bool is_passed_on(std::string_view line) {
  constexpr std::array<std::string_view, 5> names = {
      "STATUS=", "ERRNO=", "BUSERROR=", "EXTEND_TIMEOUT_USEC=", "EXIT_STATUS="};
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view name) { return line.substr(0, name.size()) == name; });
}

}  // namespace

Notification parse_notification(std::string_view text) {
  Notification notification;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line == "READY=1") notification.ready = true;
    if (!is_passed_on(line)) continue;
    notification.passed_on += (notification.passed_on.empty() ? "" : "\n") + std::string(line);
  }
  return notification;
}

}  // namespace handover::common

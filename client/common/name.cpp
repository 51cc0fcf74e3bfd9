// SPDX-License-Identifier: LGPL-2.1-or-later
#include "name.h"

#include <algorithm>
#include <cerrno>
#include <string>

namespace handover::common {

client::Result<void> check_name(std::string_view name) {
  constexpr std::size_t max_bytes = 63;  // docs/dbus.md: names of clients and sessions
  const auto refused = [&](const char* why) {
    return client::Error{"", "Name '" + std::string(name) + "' " + why, EINVAL};
  };
  if (name.empty()) return client::Error{"", "The name is empty.", EINVAL};
  if (name.size() > max_bytes) return refused("is longer than 63 bytes.");
  if (name == "." || name == "..") return refused("is not a name.");
  if (std::any_of(name.begin(), name.end(),
                  [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '/' || c == ':'; })) {
    return refused("holds a slash, a colon or a control character.");
  }
  return {};
}

}  // namespace handover::common

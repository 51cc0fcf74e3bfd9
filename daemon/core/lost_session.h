// SPDX-License-Identifier: LGPL-2.1-or-later
// What a client preserved for a later update, and the daemon lost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace handover {

struct LostSession {
  std::string session;
  std::string client;
  std::optional<std::uint64_t> token = {};  ///< empty: all of it
  bool operator==(const LostSession&) const = default;
};

}  // namespace handover

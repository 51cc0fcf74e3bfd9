// SPDX-License-Identifier: LGPL-2.1-or-later
// A registered client that an update went on without.
#pragma once

#include <string>

namespace handover {

struct LeftOut {
  std::string client;
  std::string reason;  ///< one sentence
  bool operator==(const LeftOut&) const = default;
};

}  // namespace handover

// SPDX-License-Identifier: LGPL-2.1-or-later
// The companion module, as it is loaded.
#pragma once

#include <cstdint>

namespace handover::backend {

struct Module {
  std::uint32_t abi = 0;     ///< of its ioctls
  std::uint32_t format = 0;  ///< of the tables that it writes; the next kernel's must read it
  bool kho = false;          ///< the kernel lets it preserve anything
  std::uint32_t lost = 0;    ///< sessions of the earlier kernel whose tables were damaged
};

}  // namespace handover::backend

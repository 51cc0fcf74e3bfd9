// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/emulated.h"

#include "backend/emulated_session.h"

namespace handover::backend {

Result<std::unique_ptr<Session>> Emulated::create(const std::string& name, Keeper /*keeper*/,
                                                  const Limits& /*limits*/) {
  return EmulatedSession::create(kernel_, name);
}

Result<Adoption> Emulated::adopt(Adopted& adopted) {
  return EmulatedSession::adopt(kernel_, adopted);
}

}  // namespace handover::backend

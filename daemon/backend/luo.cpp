// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo.h"

#include "backend/luo_session.h"

namespace handover::backend {

Result<std::unique_ptr<Session>> Luo::create(const std::string& name, Keeper /*keeper*/,
                                             const Limits& /*limits*/) {
  return LuoSession::create(device_, name, patience_, charge_);
}

Result<Adoption> Luo::adopt(Adopted& adopted) {
  return LuoSession::adopt(device_, adopted, patience_, charge_);
}

}  // namespace handover::backend

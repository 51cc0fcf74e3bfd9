// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/composite.h"

#include "backend/composite_session.h"

namespace handover::backend {

bool Composite::available(Keeper keeper) const {
  if (keeper == Keeper::tracker && !halves_.tracker_allowed) return false;
  return keeper != Keeper::emulated && halves_.of(keeper).available(keeper);
}

Result<std::unique_ptr<Session>> Composite::create(const std::string& name, Keeper keeper,
                                                   const Limits& limits) {
  return CompositeSession::create(halves_, name, keeper, limits);
}

Result<Adoption> Composite::adopt(Adopted& adopted) {
  return CompositeSession::adopt(halves_, adopted);
}

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/session.h"

#include "backend/refusal.h"

namespace handover::backend {

Result<UniqueFd> Session::open_tracker() {
  return fail(other_backend(name(), keeper(), Keeper::tracker));
}

Result<UniqueFd> Session::open_luo() { return fail(other_backend(name(), keeper(), Keeper::luo)); }

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/choice.h"

namespace handover::backend {

std::vector<Keeper> choose(const ChoiceInput& input) {
  // LUO would fill the holes with pages and preserve each of them.
  const bool holes = input.type.sparse;
  // The module finds out whether somebody has the file already. LUO does not.
  const bool perhaps_taken = input.type.preservable && input.frozen == Frozen::unknown;
  if (input.main == Keeper::tracker || (input.module_there && (holes || perhaps_taken))) {
    return {Keeper::tracker, Keeper::luo};
  }
  return {Keeper::luo, Keeper::tracker};
}

}  // namespace handover::backend

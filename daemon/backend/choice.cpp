// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/choice.h"

namespace handover::backend {

std::vector<Keeper> choose(const ChoiceInput& input) {
  // LUO would fill the holes with pages, preserve each, and give a file without holes back.
  const bool holes = input.type.sparse;
  // LUO does not look whether the module has the file already; the module does look.
  const bool perhaps_taken = input.type.preservable && input.frozen == Frozen::unknown;
  if (input.main == Keeper::tracker || (input.module_there && (holes || perhaps_taken))) {
    return {Keeper::tracker, Keeper::luo};
  }
  return {Keeper::luo, Keeper::tracker};
}

}  // namespace handover::backend

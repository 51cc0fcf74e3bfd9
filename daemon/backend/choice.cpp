// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/choice.h"

namespace handover::backend {

std::vector<Keeper> choose(const ChoiceInput& input) {
  const std::vector<Keeper> luo_first = {Keeper::luo, Keeper::tracker};
  const std::vector<Keeper> tracker_first = {Keeper::tracker, Keeper::luo};
  if (input.main == Keeper::tracker) return tracker_first;
  if (!input.module_there) return luo_first;
  // LUO would fill the holes with pages, preserve each, and give a file without holes back.
  if (input.type.sparse) return tracker_first;
  // LUO does not look whether the module has the file already; the module does look.
  if (input.type.preservable && input.frozen == Frozen::unknown) return tracker_first;
  return luo_first;
}

}  // namespace handover::backend

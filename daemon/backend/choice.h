// SPDX-License-Identifier: LGPL-2.1-or-later
// Which keeper is asked first to preserve a file. Pure: makes no calls.
#pragma once

#include <vector>

#include "backend/descriptor.h"
#include "core/words.h"

namespace handover::backend {

struct ChoiceInput {
  FileType type;
  Frozen frozen = Frozen::no;  ///< no for what is not shmem
  Keeper main = Keeper::luo;   ///< what the session prefers
  bool module_there = false;
};

/// The keepers to ask, in this order. Ask the second only if the first cannot keep such a file.
std::vector<Keeper> choose(const ChoiceInput& input);

}  // namespace handover::backend

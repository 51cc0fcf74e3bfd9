// SPDX-License-Identifier: LGPL-2.1-or-later
// Which of the kernel's two keepers is asked first to preserve a file. Pure: no calls.
#pragma once

#include <vector>

#include "backend/descriptor.h"

namespace handover::backend {

enum class Keeper { luo, tracker };

struct ChoiceInput {
  FileType type;
  Frozen frozen = Frozen::no;  ///< meant for shmem files; no for others
  Keeper main = Keeper::luo;   ///< what the session prefers
  bool module_there = false;
};

/// Whom to ask, in this order; the next one only if the one before cannot keep such a file.
std::vector<Keeper> choose(const ChoiceInput& input);

}  // namespace handover::backend

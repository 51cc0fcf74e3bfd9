// SPDX-License-Identifier: LGPL-2.1-or-later
// What a session holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "handover/handover.h"

struct handover_token {
  uint64_t number = 0;
  uint64_t bytes = 0;
  bool retrieved = false;
  std::string kind;
  std::string backend;
};

struct handover_token_list {
  std::vector<handover_token> tokens;
};

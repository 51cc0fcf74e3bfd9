// SPDX-License-Identifier: LGPL-2.1-or-later
// Structs of the caller's, which begin with their size.
#pragma once

#include <algorithm>
#include <cstring>

namespace handover::client {

/// One that may be older and shorter than ours, or newer and longer; what is not there is 0.
template <typename T>
T sized_copy(const T* given) {
  T copy = {};
  if (given) memcpy(&copy, given, std::min(given->size, sizeof(T)));
  copy.size = sizeof(T);
  return copy;
}

}  // namespace handover::client

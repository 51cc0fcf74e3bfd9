// SPDX-License-Identifier: LGPL-2.1-or-later
// What a fuzz target asserts, in every build type.
#pragma once

#include <cstdio>
#include <cstdlib>

inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
}

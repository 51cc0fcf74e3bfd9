// SPDX-License-Identifier: LGPL-2.1-or-later
// What a call to the kernel gives: a value, or the errno. Sentences are made of it further up.
#pragma once

#include <tl/expected.hpp>

#include "core/error.h"

namespace handover::backend {

template <typename T>
using KernelResult = tl::expected<T, int>;

/// Whether a call that failed so may succeed a little later, with nothing changed in between.
inline bool is_passing(int sys_errno) {
  return nature_of(ErrorCode::io, sys_errno) == Nature::passing;
}
inline bool is_passing(const Error& error) { return error.nature == Nature::passing; }

}  // namespace handover::backend

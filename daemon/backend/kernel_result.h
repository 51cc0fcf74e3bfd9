// SPDX-License-Identifier: LGPL-2.1-or-later
// What a call to the kernel gives: a value, or the errno. Sentences are made of it further up.
#pragma once

#include <tl/expected.hpp>

namespace handover::backend {

template <typename T>
using KernelResult = tl::expected<T, int>;

}  // namespace handover::backend

// SPDX-License-Identifier: LGPL-2.1-or-later
// The CPU's counter (TSC on x86-64, CNTVCT_EL0 on arm64), which kexec does not reset.
#pragma once

#include <cstdint>

namespace handover::vmm {

std::uint64_t read_counter();

/// Microseconds since `then`, in this kernel or an earlier one. The counter's speed is measured
/// from the program's start on: the longer ago that is, the better.
std::uint64_t usec_since(std::uint64_t then);

}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
// Facts about this boot of this machine: its id, its kernel, and its clocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/timeline.h"

namespace handover::system {

/// /proc/sys/kernel/random/boot_id, without the newline.
Result<std::string> boot_id();
std::string kernel_release();
/// Whether a kexec led to this boot: on x86 its loader's number is 0xD (kexec-bzimage64.c, and
/// admin-guide/sysctl/kernel, "bootloader_type"). Absent: the kernel does not say (arm64).
std::optional<bool> booted_by_kexec(const std::string& root = "");

/// The CPU's counter (TSC on x86-64, CNTVCT_EL0 on arm64). It is not reset by kexec.
Ticks counter_now();
/// Its frequency: the counter measured against CLOCK_MONOTONIC_RAW since the first call in this
/// process, at least `min_usec` apart (sleeps if needed); CNTFRQ_EL0 on arm64.
std::uint64_t counter_frequency(std::uint64_t min_usec = 50'000);
/// Starts the measurement of counter_frequency(); call it early.
void counter_start();
/// The counter when this kernel's CLOCK_BOOTTIME was zero.
Ticks counter_at_kernel_start(std::uint64_t ticks_per_second);
/// CLOCK_BOOTTIME, µs.
std::uint64_t uptime_usec();
/// When PID 1 began, µs since kernel start (/proc/1/stat starttime, 10 ms steps).
Result<std::uint64_t> init_start_usec();
/// Now as RFC 3339 in UTC, whole seconds.
std::string now_rfc3339();

}  // namespace handover::system

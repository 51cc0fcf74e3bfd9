// SPDX-License-Identifier: LGPL-2.1-or-later
#include "counter.h"

#include <ctime>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace handover::vmm {
namespace {

struct Instant {
  std::uint64_t ticks;
  std::uint64_t nsec;
};

Instant now() {
  timespec clock = {};
  clock_gettime(CLOCK_MONOTONIC_RAW, &clock);
  return {read_counter(), static_cast<std::uint64_t>(clock.tv_sec) * 1'000'000'000 +
                              static_cast<std::uint64_t>(clock.tv_nsec)};
}

const Instant program_start = now();

}  // namespace

std::uint64_t read_counter() {
#if defined(__x86_64__)
  _mm_lfence();  // RDTSC may otherwise run ahead of what is measured (Intel SDM, RDTSC)
  return __rdtsc();
#elif defined(__aarch64__)
  std::uint64_t ticks = 0;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks)::"memory");
  return ticks;
#else
#error "This CPU's counter is not known."
#endif
}

std::uint64_t usec_since(std::uint64_t then) {
  const Instant here = now();
  const auto ticks = static_cast<double>(here.ticks - program_start.ticks);
  const auto nsec = static_cast<double>(here.nsec - program_start.nsec);
  if (ticks <= 0 || here.ticks < then) return 0;
  return static_cast<std::uint64_t>(static_cast<double>(here.ticks - then) * nsec / ticks / 1000);
}

}  // namespace handover::vmm

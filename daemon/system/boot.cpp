// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/boot.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <ctime>
#include <thread>

#include "system/files.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#elif !defined(__aarch64__)
#error "handoverd knows the cycle counter of x86-64 and arm64 only"
#endif

namespace handover::system {
namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr std::uint64_t usec_per_second = 1'000'000;

std::uint64_t clock_nsec(clockid_t clock) {
  struct timespec now = {};
  ::clock_gettime(clock, &now);  // cannot fail for the clocks used here (clock_gettime(2))
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// The counter and CLOCK_MONOTONIC_RAW at one instant, as near as a process can tell.
struct Instant {
  Ticks ticks = 0;
  std::uint64_t nsec = 0;
};

Instant instant_now() {
  Instant best;
  Ticks narrowest = ~Ticks{0};
  // An interrupt between the two reads would tilt the measurement: keep the narrowest of a few.
  for (int attempt = 0; attempt < 5; ++attempt) {
    const Ticks before = counter_now();
    const std::uint64_t nsec = clock_nsec(CLOCK_MONOTONIC_RAW);
    const Ticks after = counter_now();
    if (after - before < narrowest) {
      narrowest = after - before;
      best = Instant{before + (after - before) / 2, nsec};
    }
  }
  return best;
}

const Instant& measurement_start() {
  static const Instant start = instant_now();
  return start;
}

std::string without_newline(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Result<std::string> boot_id() {
  return read_file("/proc/sys/kernel/random/boot_id").map(without_newline);
}

std::optional<bool> booted_by_kexec(const std::string& root) {
  constexpr unsigned kexec = 0xd;
  const auto text = read_file(root + "/proc/sys/kernel/bootloader_type");
  unsigned type = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), type).ec != std::errc{}) {
    return std::nullopt;
  }
  return type >> 4U == kexec;
}

std::string kernel_release() {
  struct utsname names = {};
  ::uname(&names);  // fails for a bad address only (uname(2))
  return names.release;
}

Ticks counter_now() {
#if defined(__x86_64__)
  _mm_lfence();  // RDTSC may otherwise run ahead of what is measured (Intel SDM, RDTSC)
  return __rdtsc();
#else
  std::uint64_t ticks = 0;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks)::"memory");
  return ticks;
#endif
}

void counter_start() { measurement_start(); }

std::uint64_t counter_frequency(std::uint64_t min_usec) {
#if defined(__aarch64__)
  (void)min_usec;
  std::uint64_t frequency = 0;
  asm("mrs %0, cntfrq_el0" : "=r"(frequency));
  return frequency;
#else
  const Instant& start = measurement_start();
  const std::uint64_t elapsed_usec = (clock_nsec(CLOCK_MONOTONIC_RAW) - start.nsec) / 1000;
  if (elapsed_usec < min_usec) {
    std::this_thread::sleep_for(std::chrono::microseconds(min_usec - elapsed_usec));
  }
  const Instant end = instant_now();
  if (end.nsec <= start.nsec || end.ticks <= start.ticks) return 0;
  return static_cast<std::uint64_t>(static_cast<Wide>(end.ticks - start.ticks) * 1'000'000'000 /
                                    (end.nsec - start.nsec));
#endif
}

Ticks counter_at_kernel_start(std::uint64_t ticks_per_second) {
  const std::uint64_t uptime = uptime_usec();
  const Ticks now = counter_now();
  const Ticks since =
      static_cast<Ticks>(static_cast<Wide>(uptime) * ticks_per_second / usec_per_second);
  return since < now ? now - since : 0;
}

std::uint64_t uptime_usec() { return clock_nsec(CLOCK_BOOTTIME) / 1000; }

Result<std::uint64_t> init_start_usec() {
  auto text = read_file("/proc/1/stat");
  if (!text) return fail(text.error());
  // The second field, the name, may hold spaces and parentheses: count from the last ')'. starttime
  // is field 22, so the 20th word after it (proc(5)).
  const std::size_t end_of_name = text->rfind(')');
  std::size_t at = end_of_name == std::string::npos ? text->size() : end_of_name + 1;
  for (int word = 0; word < 20 && at < text->size(); ++word) {
    at = text->find_first_not_of(' ', at == end_of_name + 1 ? at : text->find(' ', at));
  }
  std::uint64_t clock_ticks = 0;
  if (at >= text->size() ||
      std::from_chars(text->data() + at, text->data() + text->size(), clock_ticks).ec !=
          std::errc{}) {
    return fail(ErrorCode::io, "/proc/1/stat has no start time");
  }
  return clock_ticks * usec_per_second / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
}

std::string now_rfc3339() {
  const std::time_t now = std::time(nullptr);
  struct tm utc = {};
  ::gmtime_r(&now, &utc);
  char text[sizeof("2026-01-01T00:00:00Z") + 16];
  const std::size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return std::string(text, length);
}

}  // namespace handover::system

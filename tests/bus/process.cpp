// SPDX-License-Identifier: LGPL-2.1-or-later
#include "process.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "event_loop.h"

namespace handover::test {

std::size_t resident_bytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    constexpr std::string_view field = "VmRSS:";
    constexpr std::size_t kib = 1024;
    if (line.starts_with(field)) return std::stoull(line.substr(field.size())) * kib;
  }
  return 0;
}

std::size_t open_descriptors(pid_t pid, std::string_view target) {
  const std::filesystem::directory_iterator open("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<std::size_t>(std::count_if(begin(open), end(open), [&](const auto& entry) {
    std::error_code gone;
    return std::filesystem::read_symlink(entry, gone).native().starts_with(target);
  }));
}

std::chrono::nanoseconds cpu_time(pid_t pid) {
  clockid_t clock = 0;
  must(-clock_getcpuclockid(pid, &clock), "a process's clock");
  timespec time{};
  must(clock_gettime(clock, &time) < 0 ? -errno : 0, "a process's time");
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace handover::test

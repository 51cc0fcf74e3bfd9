// SPDX-License-Identifier: LGPL-2.1-or-later
// What is said of every program that we run, be it a hook or a command of the configuration: where
// it finds others, and how it ended.
#pragma once

#include <cstdint>
#include <string>

namespace handover {

/// Of the environment that it gets.
inline constexpr auto program_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Each goes on from the program's name, or from "it".
inline std::string ended_with(int status) { return "ended with status " + std::to_string(status); }
inline std::string killed_by(int signal) {
  return "was killed by signal " + std::to_string(signal);
}
inline std::string took_longer_than(std::uint64_t limit_usec) {
  return "took longer than " + std::to_string(limit_usec / 1000) + " ms";
}

}  // namespace handover

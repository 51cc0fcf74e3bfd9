// SPDX-License-Identifier: LGPL-2.1-or-later
// QEMU's command line: what an operator may not say himself, and what is added to his words.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <vector>

namespace handover::vmm {

inline constexpr const char* ram_id = "handover-ram";
inline constexpr const char* monitor_id = "handover-qmp";

/// Refuses what would get into the way of the memory, the monitor or the migration that are ours.
client::Result<void> check_arguments(const std::vector<std::string>& arguments);

struct Launch {
  std::string qemu;
  std::vector<std::string> arguments;  ///< the operator's
  std::uint64_t memory = 0;            ///< bytes, whole MiB
  int ram_fd = -1;                     ///< its numbers in QEMU's process
  int monitor_fd = -1;
  bool incoming = false;  ///< waits for the state of an earlier QEMU
};

/// All of the command line; the first is the program.
std::vector<std::string> command_line(const Launch& launch);

}  // namespace handover::vmm

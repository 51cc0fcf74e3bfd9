// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs another program to its end, with a limit.
//
// Threads: any; it blocks.
#pragma once

#include <atomic>
#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <vector>

namespace handover::fleet {

struct Ended {
  bool well = false;      ///< exit status 0
  std::string how;        ///< "ended with exit status 1", "took longer than 30 s"
  std::string output;     ///< of stdout, 64 KiB at most
  std::string complaint;  ///< of stderr, likewise
};

/// `arguments`: the first is looked up in $PATH. Its process group is killed at the limit, or when
/// it is given up. An error: it could not be run at all.
client::Result<Ended> run_program(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& environment,
                                  std::uint64_t limit_usec, const std::atomic<bool>& given_up);

}  // namespace handover::fleet

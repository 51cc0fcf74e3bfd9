// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of handover-vmm as plain values.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <variant>
#include <vector>

#include "common/command_line.h"

namespace handover::vmm {

inline constexpr const char* default_directory = "/run/handover-vmm";

struct RunOptions {
  std::string name;
  std::string config;
  std::string directory = default_directory;  ///< of the status files
  std::uint64_t wait_usec = 90'000'000;
};

struct CheckOptions {
  std::string config;
};

struct StatusOptions {
  std::string name;
  std::string directory = default_directory;
  bool json = false;
};

struct RestartOptions {
  std::string name;
  std::string directory = default_directory;
};

using common::Information;
using Options = std::variant<RunOptions, CheckOptions, StatusOptions, RestartOptions, Information>;

/// The arguments without argv[0].
client::Result<Options> parse_options(std::vector<std::string> arguments);

}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of handover-memfd as plain values.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <variant>
#include <vector>

#include "common/command_line.h"
#include "common/keeper.h"

namespace handover::memfd {

struct Options {
  common::KeeperOptions keeper;
  std::uint64_t size = 0;
};

using common::Information;

/// The running client of that name is to start its COMMAND anew, with the same memory.
struct Restart {
  std::string name;
};

using Parsed = std::variant<Options, Restart, Information>;

/// The arguments without argv[0].
client::Result<Parsed> parse_options(const std::vector<std::string>& arguments);

}  // namespace handover::memfd

// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of handover-iommu as plain values.
#pragma once

#include <handover/handover.hpp>
#include <string>
#include <variant>
#include <vector>

#include "common/command_line.h"

namespace handover::iommu {

struct Options {
  std::string name;
  std::string config;                ///< a file
  bool check = false;                ///< only look whether the configuration is right
  std::vector<std::string> command;  ///< {}: the configuration's
};

struct Restart {
  std::string name;
};

using common::Information;
using Parsed = std::variant<Options, Restart, Information>;

/// The arguments without argv[0].
client::Result<Parsed> parse_options(const std::vector<std::string>& arguments);

}  // namespace handover::iommu

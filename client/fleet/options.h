// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of handover-fleet as plain values.
#pragma once

#include <handover/handover.hpp>
#include <string>
#include <variant>
#include <vector>

#include "common/command_line.h"

namespace handover::fleet {

constexpr const char* default_config = "/etc/handover/fleet.json";

struct RunOptions {
  std::string config = default_config;
  std::string name = "fleet";  ///< of the client
};
struct CheckOptions {
  std::string config = default_config;
};
struct StatusOptions {
  bool json = false;
};
struct ReleaseOptions {
  std::string name = "fleet";
};
struct ListOptions {
  std::string config = default_config;
  bool json = false;
};
struct BreakOptions {
  std::string config = default_config;
  std::string slot;  ///< its number, or the id or name of the host that holds it
};

using common::Information;
using Parsed = std::variant<RunOptions, CheckOptions, StatusOptions, ReleaseOptions, ListOptions,
                            BreakOptions, Information>;

/// The arguments without argv[0].
client::Result<Parsed> parse_options(const std::vector<std::string>& arguments);

}  // namespace handover::fleet

// SPDX-License-Identifier: LGPL-2.1-or-later
// What a guest is made of: it goes with the state, so that the next kernel starts the same QEMU,
// whatever became of the configuration meanwhile.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config.h"
#include "cpu_model.h"

namespace handover::vmm {

/// "user" and "group" of the configuration.
struct RunAs {
  std::string user;
  std::string group;

  bool operator==(const RunAs&) const = default;
};

struct Description {
  std::string qemu;
  std::vector<std::string> arguments;
  std::uint64_t memory = 0;
  std::vector<std::vector<std::string>> helpers;
  std::vector<common::WaitFor> wait_for;  ///< what the operator named, and what QEMU had
  CpuModel cpu;                           ///< as the guest knows it
  std::optional<RunAs> run_as;            ///< none: an earlier version did not say

  bool operator==(const Description&) const = default;
};

/// Would both be configured alike?
bool is_same_guest(const Description& one, const Description& other);

Description description_of(const Config& config);
std::string to_text(const Description& description);
client::Result<Description> parse_description(const std::string& text);

}  // namespace handover::vmm

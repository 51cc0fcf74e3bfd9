// SPDX-License-Identifier: LGPL-2.1-or-later
// What a guest is made of: it goes with the state, so that the next kernel starts the same QEMU,
// whatever became of the configuration meanwhile.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <vector>

#include "config.h"

namespace handover::vmm {

struct Description {
  std::string qemu;
  std::vector<std::string> arguments;
  std::uint64_t memory = 0;

  bool operator==(const Description&) const = default;
};

Description description_of(const Config& config);
std::string to_text(const Description& description);
client::Result<Description> parse_description(const std::string& text);

}  // namespace handover::vmm

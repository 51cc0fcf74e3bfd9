// SPDX-License-Identifier: LGPL-2.1-or-later
// The configuration of one instance (/etc/handover/iommu/NAME.json) as plain values.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/keeper.h"
#include "mapping.h"

namespace handover::iommu {

struct Config {
  std::string device;  ///< PCI address
  std::vector<std::string> take_from;
  /// In the order of their numbers. Token 0: handed to us by its owner, size not known yet.
  std::vector<Memory> memories;
  Range iova;
  std::vector<Mapping> mappings;  ///< made at the first start
  std::uint32_t most_mappings = 16384;
  std::uint64_t device_wait_usec = 5'000'000;
  common::KeeperOptions keeper;  ///< all but the name
};

/// The error is one line that says where (file, and line or field) and what is allowed.
client::Result<Config> parse_config(std::string_view text, const std::string& file);
client::Result<Config> read_config(const std::string& file);

}  // namespace handover::iommu

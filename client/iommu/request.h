// SPDX-License-Identifier: LGPL-2.1-or-later
// COMMAND's requests (protocol.h) as plain values, and the answers to them.
#pragma once

#include <cstddef>
#include <handover/handover.hpp>
#include <span>
#include <vector>

#include "mapping.h"
#include "protocol.h"

namespace handover::iommu {

struct Request {
  enum class Operation { map, unmap };
  Operation operation = Operation::map;
  std::vector<Mapping> mappings;
};

inline constexpr std::size_t largest_request =
    sizeof(handover_iommu_request) + HANDOVER_IOMMU_MOST_MAPPINGS * sizeof(handover_iommu_mapping);

/// A packet from COMMAND, of which nothing is believed.
client::Result<Request> parse_request(std::span<const std::byte> packet);

handover_iommu_answer answer_to(const client::Result<void>& outcome);

}  // namespace handover::iommu

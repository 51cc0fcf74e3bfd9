// SPDX-License-Identifier: LGPL-2.1-or-later
// What handoverd can tell, as metrics (docs/metrics.md). Pure: values in, families out.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "exposition.h"
#include "manager.h"

namespace handover::ctl {

/// What was read of one host. What is empty could not be had, and has no samples.
struct MetricsInput {
  std::optional<Status> status;  ///< none: handoverd does not answer, and nothing below is there
  std::vector<ClientRow> clients;
  std::vector<SessionRow> sessions;
  std::optional<JobStatus> job;
  nlohmann::json history = nlohmann::json::array();  ///< newest first
  Properties statistics;
  bool asked_preflight = false;  ///< only then the next two mean something
  std::optional<std::vector<FindingRow>> findings;
  std::optional<std::vector<KernelRow>> kernels;
  std::optional<std::string> release;  ///< of the running kernel
  nlohmann::json gate;                 ///< what handover-fleet says of itself; null: it is not here
};

/// Every family that there can be, in the order of the text, with no samples.
std::vector<Family> all_families();

std::vector<Family> metrics_of(const MetricsInput& input);

}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
// The processor that QEMU gives a guest, as the guest sees it: -cpu host gives another one under
// another kernel, and a guest does not look again.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace handover::vmm {

struct CpuModel {
  std::map<std::string, std::uint32_t> features;  ///< bits by "CPUID 0x7,0 EBX"
  std::map<std::string, std::uint64_t> levels;    ///< of which less is a loss: "level", "phys-bits"
  std::map<std::string, std::string> identity;    ///< what else it is told apart by

  bool operator==(const CpuModel&) const = default;
};

inline constexpr const char* cpu_levels[] = {"level", "xlevel", "phys-bits"};
inline constexpr const char* cpu_identity[] = {"type", "vendor", "family", "model", "stepping"};

/// The property "feature-words" of an x86 processor's QOM object.
std::map<std::string, std::uint32_t> features_of(const nlohmann::json& feature_words);

/// What `now` lacks of what the guest `had`, for people. None: the guest can go on.
std::vector<std::string> lacks(const CpuModel& had, const CpuModel& now);
/// What else is another.
std::vector<std::string> differs(const CpuModel& had, const CpuModel& now);

/// Does the guest count on a TSC that never changes its speed?
bool has_invariant_tsc(const CpuModel& model);

nlohmann::json to_json(const CpuModel& model);
/// An empty one for anything else.
CpuModel cpu_model_of(const nlohmann::json& object);

}  // namespace handover::vmm

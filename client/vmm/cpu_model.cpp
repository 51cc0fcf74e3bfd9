// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cpu_model.h"

#include <cstdio>

namespace handover::vmm {
namespace {

using nlohmann::json;

std::string hexadecimal(std::uint64_t number) {
  char text[24] = {};
  snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(number));
  return text;
}

std::string register_of(const json& word) {
  std::string key = "CPUID " + hexadecimal(word.at("cpuid-input-eax").get<std::uint64_t>());
  if (const auto ecx = word.find("cpuid-input-ecx"); ecx != word.end()) {
    key += "," + std::to_string(ecx->get<std::uint64_t>());
  }
  return key + " " + word.at("cpuid-register").get<std::string>();
}

template <typename Value>
std::map<std::string, Value> map_of(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return {};
  return found->get<std::map<std::string, Value>>();
}

}  // namespace

std::map<std::string, std::uint32_t> features_of(const json& feature_words) {
  std::map<std::string, std::uint32_t> features;
  for (const auto& word : feature_words) {
    try {
      const auto bits = word.at("features").get<std::uint32_t>();
      if (bits != 0) features[register_of(word)] = bits;
    } catch (const json::exception&) {
      continue;  // of another architecture, or another QEMU's
    }
  }
  return features;
}

std::vector<std::string> lacks(const CpuModel& had, const CpuModel& now) {
  std::vector<std::string> missing;
  for (const auto& [key, bits] : had.features) {
    const auto found = now.features.find(key);
    const std::uint32_t gone = bits & ~(found == now.features.end() ? 0 : found->second);
    for (unsigned bit = 0; bit < 32; ++bit) {
      if ((gone >> bit & 1) != 0) missing.push_back(key + " bit " + std::to_string(bit));
    }
  }
  for (const auto& [name, value] : had.levels) {
    const auto found = now.levels.find(name);
    if (found == now.levels.end() || found->second >= value) continue;
    missing.push_back(name + " " + hexadecimal(value) + " (it is " + hexadecimal(found->second) +
                      ")");
  }
  return missing;
}

std::vector<std::string> differs(const CpuModel& had, const CpuModel& now) {
  std::vector<std::string> others;
  for (const auto& [name, value] : had.identity) {
    const auto found = now.identity.find(name);
    if (found == now.identity.end() || found->second == value) continue;
    others.push_back(
        std::string(name).append(" is ").append(found->second).append(", and was ").append(value));
  }
  return others;
}

bool has_invariant_tsc(const CpuModel& model) {
  const auto found = model.features.find("CPUID 0x80000007 EDX");
  return found != model.features.end() && (found->second >> 8 & 1) != 0;
}

json to_json(const CpuModel& model) {
  return {{"features", model.features}, {"levels", model.levels}, {"identity", model.identity}};
}

CpuModel cpu_model_of(const json& object) {
  if (!object.is_object()) return {};
  try {
    return {map_of<std::uint32_t>(object, "features"), map_of<std::uint64_t>(object, "levels"),
            map_of<std::string>(object, "identity")};
  } catch (const json::exception&) {
    return {};
  }
}

}  // namespace handover::vmm

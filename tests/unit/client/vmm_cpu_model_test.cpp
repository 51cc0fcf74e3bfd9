// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "vmm/cpu_model.h"

namespace handover::vmm {
namespace {

using nlohmann::json;

CpuModel some_model() {
  return {{{"CPUID 0x1 ECX", 0x80000001}, {"CPUID 0x7,0 EBX", 0x20}},
          {{"level", 13}, {"phys-bits", 40}},
          {{"vendor", "AuthenticAMD"}, {"family", "15"}}};
}

TEST(VmmCpuModel, FeatureWordsOfQemu) {
  const auto features = features_of(json::parse(R"([
    {"cpuid-register": "EBX", "cpuid-input-ecx": 0, "cpuid-input-eax": 7, "features": 32},
    {"cpuid-register": "ECX", "cpuid-input-eax": 2147483649, "features": 5},
    {"cpuid-register": "EDX", "cpuid-input-eax": 6, "features": 0},
    {"cpuid-register": "EDX"}, 7])"));
  const std::map<std::string, std::uint32_t> expected = {{"CPUID 0x7,0 EBX", 32},
                                                         {"CPUID 0x80000001 ECX", 5}};
  EXPECT_EQ(features, expected);
  EXPECT_TRUE(features_of(json()).empty());
}

TEST(VmmCpuModel, WhatIsLackingIsNamedByItsBit) {
  const auto had = some_model();
  EXPECT_TRUE(lacks(had, had).empty());
  auto now = had;
  now.features["CPUID 0x1 ECX"] = 1;
  now.features.erase("CPUID 0x7,0 EBX");
  EXPECT_EQ(lacks(had, now),
            (std::vector<std::string>{"CPUID 0x1 ECX bit 31", "CPUID 0x7,0 EBX bit 5"}));
  EXPECT_TRUE(lacks(now, had).empty()) << "more is no loss";
  now = had;
  now.levels["phys-bits"] = 39;
  EXPECT_EQ(lacks(had, now), std::vector<std::string>{"phys-bits 0x28 (it is 0x27)"});
  now.levels["phys-bits"] = 46;
  EXPECT_TRUE(lacks(had, now).empty());
  now.levels.erase("phys-bits");
  EXPECT_TRUE(lacks(had, now).empty()) << "what QEMU does not tell";
  EXPECT_TRUE(lacks({}, had).empty()) << "what an earlier handover-vmm did not write";
}

TEST(VmmCpuModel, Identity) {
  auto now = some_model();
  EXPECT_TRUE(differs(some_model(), now).empty());
  now.identity["vendor"] = "GenuineIntel";
  EXPECT_EQ(differs(some_model(), now),
            std::vector<std::string>{"vendor is GenuineIntel, and was AuthenticAMD"});
  EXPECT_TRUE(differs({}, now).empty());
}

TEST(VmmCpuModel, InvariantTsc) {
  EXPECT_FALSE(has_invariant_tsc(some_model()));
  EXPECT_TRUE(has_invariant_tsc({{{"CPUID 0x80000007 EDX", 0x100}}, {}, {}}));
  EXPECT_FALSE(has_invariant_tsc({{{"CPUID 0x80000007 EDX", 0x200}}, {}, {}}));
}

TEST(VmmCpuModel, ComesBackAsItWent) {
  EXPECT_EQ(cpu_model_of(to_json(some_model())), some_model());
  EXPECT_EQ(cpu_model_of(to_json(CpuModel())), CpuModel());
  for (const char* strange : {"null", "7", R"({"features": 7})", R"({"levels": {"level": "x"}})"}) {
    EXPECT_EQ(cpu_model_of(json::parse(strange)), CpuModel()) << strange;
  }
}

}  // namespace
}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "vmm/advice.h"

namespace handover::vmm {
namespace {

using Arguments = std::vector<std::string>;

TEST(VmmAdvice, MachinesAndProcessors) {
  const std::pair<Arguments, Arguments> cases[] = {
      {{"-machine", "pc-q35-7.2"}, {}},
      {{"-M", "pc-i440fx-10.0,accel=tcg"}, {}},
      {{"-machine", "type=virt-9.1"}, {}},
      {{"-machine", "accel=kvm,type=pc-q35-7.2"}, {}},
      {{"-machine", "microvm"}, {}},
      {{"-machine", "q35,accel=kvm", "-machine", "pc-q35-7.2"}, {}},
      {{}, {"No machine"}},
      {{"-machine", "accel=kvm"}, {"No machine"}},
      {{"-machine", "q35"}, {"'q35'"}},
      {{"-machine", "pc,accel=kvm"}, {"'pc'"}},
      {{"-machine", "pc-q35-"}, {"'pc-q35-'"}},
      {{"-machine", "pc-q35-7"}, {"'pc-q35-7'"}},
      {{"-machine", "pc-q35-7.2", "-cpu", "Skylake-Server-v4"}, {}},
      {{"-machine", "pc-q35-7.2", "-cpu", "host,migratable=on"}, {"'host'"}},
      {{"-machine", "q35", "-cpu", "max"}, {"'q35'", "'max'"}},
  };
  for (const auto& [arguments, expected] : cases) {
    const auto advice = advice_on(arguments);
    ASSERT_EQ(advice.size(), expected.size()) << (arguments.empty() ? "" : arguments.back());
    for (std::size_t i = 0; i < advice.size(); ++i) {
      EXPECT_NE(advice[i].find(expected[i]), std::string::npos) << advice[i];
      EXPECT_EQ(advice[i].back(), '.');
    }
  }
}

TEST(VmmAdvice, InvariantTsc) {
  const CpuModel plain;
  const CpuModel invariant{{{"CPUID 0x80000007 EDX", 0x100}}, {}, {}};
  for (const char* cpu : {"host,+invtsc", "EPYC,invtsc=on", "EPYC,invtsc"}) {
    EXPECT_NE(tsc_obstacle({"-cpu", cpu}, plain).find("tsc-frequency"), std::string::npos) << cpu;
    EXPECT_EQ(tsc_obstacle({"-cpu", cpu + std::string(",tsc-frequency=2500000000")}, invariant), "")
        << cpu;
  }
  for (const char* cpu : {"host", "EPYC,invtsc=off", "EPYC,-invtsc"}) {
    EXPECT_EQ(tsc_obstacle({"-cpu", cpu}, plain), "") << cpu;
  }
  // -cpu host,migratable=off has it without a word.
  EXPECT_NE(tsc_obstacle({"-cpu", "host,migratable=off"}, invariant), "");
  EXPECT_EQ(tsc_obstacle({}, plain), "");
}

}  // namespace
}  // namespace handover::vmm

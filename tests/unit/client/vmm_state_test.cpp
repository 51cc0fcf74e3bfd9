// SPDX-License-Identifier: LGPL-2.1-or-later
// The state's form in memory, its description, and what is damaged of them.
#include <gtest/gtest.h>

#include <cstring>

#include "vmm/access.h"
#include "vmm/description.h"
#include "vmm/state_header.h"

namespace handover::vmm {
namespace {

std::vector<unsigned char> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

/// A whole one with "who" and "state", and some room behind.
std::vector<unsigned char> good() {
  StateHeader header;
  header.description_bytes = 3;
  header.state_bytes = 5;
  header.stopped_at = 0x1122334455667788;
  header.description_crc = crc_of(bytes_of("who"));
  header.state_crc = crc_of(bytes_of("state"));
  const auto encoded = encode(header);
  std::vector<unsigned char> memory(encoded.begin(), encoded.end());
  for (const char c : std::string("whostate")) memory.push_back(static_cast<unsigned char>(c));
  memory.resize(100);
  return memory;
}

TEST(VmmState, GoesAndComes) {
  auto header = decode(good());
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->description_bytes, 3U);
  EXPECT_EQ(header->state_bytes, 5U);
  EXPECT_EQ(header->stopped_at, 0x1122334455667788U);
  EXPECT_TRUE(header->ran);
  StateHeader paused = *header;
  paused.ran = false;
  auto memory = good();
  const auto encoded = encode(paused);
  std::copy(encoded.begin(), encoded.end(), memory.begin());
  auto again = decode(memory);
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, paused);
}

/// An ABI between two versions of the program: these bytes never change.
TEST(VmmState, TheFormStays) {
  const auto memory = good();
  const std::string expected =
      "686f7672766d6d0a"
      "01000000"
      "03000000"
      "0500000000000000"
      "8877665544332211";
  std::string hex;
  for (std::size_t i = 0; i < 32; ++i) {
    constexpr const char* digits = "0123456789abcdef";
    hex += digits[memory[i] >> 4];
    hex += digits[memory[i] & 15];
  }
  EXPECT_EQ(hex, expected);
  EXPECT_EQ(memory[40], 1);
}

TEST(VmmState, AnyChangedBitIsSeen) {
  for (std::size_t at = 0; at < header_bytes + 8; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto memory = good();
      memory[at] = static_cast<unsigned char>(memory[at] ^ (1 << bit));
      EXPECT_FALSE(decode(memory)) << at;
    }
  }
  auto memory = good();
  memory.back() ^= 1;
  EXPECT_TRUE(decode(memory)) << "room that is not used";
}

TEST(VmmState, WhatIsCutOff) {
  const auto memory = good();
  for (std::size_t size = 0; size < header_bytes + 8; ++size) {
    EXPECT_FALSE(decode(std::span(memory).first(size))) << size;
  }
  EXPECT_TRUE(decode(std::span(memory).first(header_bytes + 8)));
}

TEST(VmmState, WhatWasNeverWritten) {
  auto header = decode(std::vector<unsigned char>(4096));
  ASSERT_FALSE(header);
  EXPECT_NE(header.error().message.find("never written"), std::string::npos);
}

TEST(VmmDescription, GoesAndComes) {
  const Description description{
      "/usr/bin/qemu",
      {"-name", "Zoë's \"guest\"\n", ""},
      1 << 20,
      {{"swtpm", "socket"}, {"passt"}},
      {{common::WaitFor::Kind::mount, "/srv"}, {common::WaitFor::Kind::link, "br0"}},
      {{{"CPUID 0x1 ECX", 7}}, {{"level", 13}}, {{"vendor", "x"}}},
      RunAs{"guests", "kvm"}};
  auto parsed = parse_description(to_text(description));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, description);
  for (const char* text : {"", "{}", "[]", R"({"qemu": 1, "arguments": [], "memory": 1})",
                           R"({"qemu": "q", "arguments": {"a": 1}, "memory": 1})",
                           R"({"qemu": "q", "arguments": [1], "memory": 1})",
                           R"({"qemu": "q", "arguments": [], "memory": 1, "helpers": 7})",
                           R"({"qemu": "q", "arguments": [], "memory": 1, "wait-for": ["x"]})",
                           R"({"qemu": "q", "arguments": [], "memory": 1, "user": 7})",
                           R"({"qemu": "q", "arguments": []})"}) {
    EXPECT_FALSE(parse_description(text)) << text;
  }
}

TEST(VmmDescription, OfAnEarlierVersion) {
  auto parsed = parse_description(R"({"qemu": "q", "arguments": ["-smp"], "memory": 1048576})");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(*parsed, (Description{"q", {"-smp"}, 1 << 20, {}, {}, {}, {}}));
  EXPECT_FALSE(parsed->run_as) << "the configuration's counts";
}

/// Not the one whom the configuration of this kernel names.
TEST(VmmDescription, SaysAsWhomQemuRuns) {
  Config config;
  config.user = "0";
  const auto text = to_text(description_of(config));
  auto carried = parse_description(text);
  ASSERT_TRUE(carried) << text;
  auto user = qemu_user(*carried);
  ASSERT_TRUE(user) << user.error().message;
  ASSERT_TRUE(user->has_value());
  EXPECT_EQ((*user)->name, "0");
  EXPECT_TRUE((*user)->from_start);
  EXPECT_EQ((*user)->identity.user, 0U);

  config.user.clear();
  carried = parse_description(to_text(description_of(config)));
  ASSERT_TRUE(carried);
  EXPECT_TRUE(carried->run_as) << "as us, whatever the configuration says later";
  user = qemu_user(*carried);
  ASSERT_TRUE(user);
  EXPECT_FALSE(user->has_value());
}

TEST(VmmDescription, SameGuest) {
  const Description one{"q", {"-smp"}, 1 << 20, {{"swtpm"}}, {}, {}, RunAs{"guests", ""}};
  auto other = one;
  other.wait_for = {{common::WaitFor::Kind::link, "br0"}};
  other.cpu.levels["level"] = 13;
  EXPECT_TRUE(is_same_guest(one, other)) << "what was found beside it";
  other.helpers.clear();
  EXPECT_FALSE(is_same_guest(one, other));
  other = one;
  other.arguments.push_back("x");
  EXPECT_FALSE(is_same_guest(one, other));
  other = one;
  other.run_as->user = "root";
  EXPECT_FALSE(is_same_guest(one, other));
}

}  // namespace
}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "common/size.h"

namespace handover::common {
namespace {

TEST(Size, BytesAndUnits) {
  const std::pair<const char*, std::uint64_t> good[] = {{"1", 1},
                                                        {"4096", 4096},
                                                        {"64K", 64 << 10},
                                                        {"64k", 64 << 10},
                                                        {"256M", 256 << 20},
                                                        {"256MiB", 256 << 20},
                                                        {"256MB", 256 << 20},
                                                        {"2G", UINT64_C(2) << 30},
                                                        {"1T", UINT64_C(1) << 40},
                                                        {"10B", 10},
                                                        {"9223372036854775807", INT64_MAX}};
  for (const auto& [text, bytes] : good) {
    auto parsed = parse_size(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(Size, WhatIsNone) {
  for (const char* text : {"", "0", "0G", "-1", "+1", "1.5G", "1X", "1GG", "1 G", "G", "1Gi",
                           "0x10", "9223372036854775808", "8388608T", "99999999999999999999"}) {
    auto parsed = parse_size(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find(text), std::string::npos) << parsed.error().message;
  }
}

}  // namespace
}  // namespace handover::common

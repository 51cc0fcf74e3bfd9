// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/part.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace handover {
namespace {

TEST(Part, IsWrittenAndReadBack) {
  EXPECT_EQ(to_string(session_part), "s");
  EXPECT_EQ(to_string(token_part(7)), "t7");
  for (const Part part : {session_part, token_part(0), token_part(7), token_part(UINT64_MAX)}) {
    EXPECT_EQ(part_from_string(to_string(part)), part);
  }
  EXPECT_NE(session_part, token_part(0));
}

TEST(Part, NothingElseIsRead) {
  for (const auto* wrong : {"", "S", "ss", "s7", "t", "t-1", "t+1", "t 1", "t07", "t1x", "x1", "1",
                            "t18446744073709551616"}) {
    EXPECT_EQ(part_from_string(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace handover

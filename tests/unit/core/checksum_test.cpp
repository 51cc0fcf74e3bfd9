// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/checksum.h"

#include <gtest/gtest.h>

namespace handover {
namespace {

TEST(Checksum, IsCrc32InEightDigits) {
  EXPECT_EQ(checksum("123456789"), "cbf43926");  // the check value of CRC-32/ISO-HDLC
  EXPECT_EQ(checksum(""), "00000000");
}

}  // namespace
}  // namespace handover

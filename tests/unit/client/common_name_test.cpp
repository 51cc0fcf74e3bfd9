// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "common/name.h"

namespace handover::common {
namespace {

TEST(ClientName, WhatMayNameAClient) {
  EXPECT_TRUE(check_name("a"));
  EXPECT_TRUE(check_name("größe 1"));
  EXPECT_TRUE(check_name(std::string(63, 'x')));
  for (const std::string& name :
       {std::string(), std::string(64, 'x'), std::string("."), std::string(".."),
        std::string("a/b"), std::string("a:b"), std::string("a\nb"), std::string("a\0b", 3)}) {
    EXPECT_FALSE(check_name(name)) << name;
  }
}

}  // namespace
}  // namespace handover::common

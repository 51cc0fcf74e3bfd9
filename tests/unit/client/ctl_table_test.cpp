// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "ctl/format.h"
#include "ctl/table.h"

namespace handover::ctl {
namespace {

TEST(Tables, AlignAndEndWithoutSpaces) {
  Table table({{"NAME", false, true}, {"SIZE", true, false}, {"X", false, false}});
  table.add({"a", "1", ""});
  table.add({"größer", "1000", "y"});
  EXPECT_EQ(table.text(),
            "NAME    SIZE  X\n"
            "a          1\n"
            "größer  1000  y\n");
}

TEST(Tables, FitTheirWidth) {
  Table table({{"NAME", false, true}, {"NEEDS", false, true}, {"N", true, false}});
  table.add({std::string(63, 'n'), std::string(200, 'm'), "123456"});
  const std::string text = table.text(80);
  std::size_t start = 0;
  int lines = 0;
  for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    EXPECT_LE(text_width(text.substr(start, end - start)), 80U);
    ++lines;
  }
  EXPECT_EQ(lines, 2);
  EXPECT_NE(text.find("…"), std::string::npos);
  EXPECT_NE(text.find("123456"), std::string::npos);
}

TEST(Tables, CutNoFurtherThanEightCharacters) {
  Table table({{"NAME", false, true}, {"FIXED", false, false}});
  table.add({"abcdefghijkl", std::string(30, 'f')});
  EXPECT_NE(table.text(20).find("abcdefg…  " + std::string(30, 'f')), std::string::npos);
}

}  // namespace
}  // namespace handover::ctl

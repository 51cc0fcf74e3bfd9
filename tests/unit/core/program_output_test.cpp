// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/program_output.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace handover {
namespace {

class ProgramOutputTest : public testing::Test {
 protected:
  std::vector<std::string> lines;
  ProgramOutput output{[this](const std::string& line) { lines.push_back(line); }};
};

using Lines = std::vector<std::string>;

TEST_F(ProgramOutputTest, IsSplitIntoLinesHoweverItComes) {
  output.take("fir");
  output.take("st\nsecond\r\n\n  \nthi");
  EXPECT_EQ(lines, (Lines{"first", "second"}));
  output.take("rd");
  output.end();
  EXPECT_EQ(lines, (Lines{"first", "second", "third"}));
  EXPECT_EQ(output.last_line(), "third");
  output.end();
  EXPECT_EQ(lines.size(), 3U);
}

TEST_F(ProgramOutputTest, OfNothingSaysNothing) {
  output.end();
  EXPECT_TRUE(lines.empty());
  EXPECT_EQ(output.last_line(), "");
}

TEST_F(ProgramOutputTest, IsPrintable) {
  output.take("a\x1b[2Jb\xff\n");
  EXPECT_EQ(lines, Lines{"a\\x1b[2Jb\\xff"});
}

TEST_F(ProgramOutputTest, CutsLongLines) {
  for (int i = 0; i < 1000; ++i) output.take(std::string(1000, 'x'));
  output.take("\nlast\n");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_LE(lines[0].size(), ProgramOutput::most_line_bytes + 8);
  EXPECT_TRUE(lines[0].ends_with("…"));
  EXPECT_EQ(lines[1], "last");
}

TEST_F(ProgramOutputTest, LeavesOutWhatIsTooMuchButForTheLastLine) {
  for (int i = 1; i <= 1000; ++i) output.take("line " + std::to_string(i) + "\n");
  output.end();
  EXPECT_EQ(lines.size(), ProgramOutput::most_lines);
  EXPECT_EQ(output.left_out(), 1000 - ProgramOutput::most_lines);
  EXPECT_EQ(output.last_line(), "line 1000");
}

}  // namespace
}  // namespace handover

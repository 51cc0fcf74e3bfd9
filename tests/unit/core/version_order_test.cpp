// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/version_order.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace handover {
namespace {

TEST(VersionOrder, SortsReleasesAsLinuxVersionDoes) {
  const std::vector<std::string> sorted = {
      "5.10.0-9-amd64", "5.10.0-10-amd64", "6.1.0-rc7",      "6.1.0",  "6.1.0-1-amd64",
      "6.1.0-13-amd64", "6.1.9",           "6.1.10",         "7.2.13", "7.3~rc1-amd64",
      "7.3~rc2-amd64",  "7.3-amd64",       "7.3.4-handover", "7.10.1", "10.0.1"};
  for (std::size_t a = 0; a < sorted.size(); ++a) {
    for (std::size_t b = 0; b < sorted.size(); ++b) {
      EXPECT_EQ(version_less(sorted[a], sorted[b]), a < b) << sorted[a] << " " << sorted[b];
    }
  }
  EXPECT_FALSE(version_less("7.03", "7.3"));
  EXPECT_FALSE(version_less("7.3", "7.03"));
}

TEST(CompareVersions, FollowsTheBootLoaderSpecification) {
  // The specification's own examples, and what systemd's test-string-util.c has.
  const std::vector<std::vector<std::string>> chains = {
      {"~1", "", "1"},
      {"11~rc1", "11"},
      {"122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1",
       "123.1-1", "123a-1", "124-1"},
      {"ab", "abb", "abc", "0001", "002", "12", "122", "122.9"},
      {"0_", "0_1"},
      {"~", "~0", ""},
      {"7.3.4-1-amd64", "7.3.10-1-amd64", "7.10.1-1-amd64"},
      {"5.11.0-0.rc5.20210128git76c057c84d28.137.fc34", "5.11.0-1.fc34"},
  };
  for (const auto& chain : chains) {
    for (std::size_t a = 0; a < chain.size(); ++a) {
      for (std::size_t b = 0; b < chain.size(); ++b) {
        const int expected = a < b ? -1 : (a == b ? 0 : 1);
        EXPECT_EQ(compare_versions(chain[a], chain[b]), expected) << chain[a] << " " << chain[b];
      }
    }
  }
  for (const auto& [a, b] : std::vector<std::pair<std::string, std::string>>{
           {"123_a", "123a"}, {"00123", "123"}, {"11\xce\xb1", "11\xce\xb2"}, {"1_", "1"}}) {
    EXPECT_EQ(compare_versions(a, b), 0) << a << " " << b;
    EXPECT_EQ(compare_versions(b, a), 0) << a << " " << b;
  }
}

}  // namespace
}  // namespace handover

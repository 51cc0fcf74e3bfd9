// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/deny_list.h"

#include <gtest/gtest.h>

#include "core/modprobe_rules.h"
#include "core/mountinfo.h"

namespace handover {
namespace {

const std::string road_runner =
    "dmi:bvnAcme:bvr1.4:bd01/02/2020:svnAcme:pnRoadRunner9:pvr1:cvnAcme:";

TEST(DenyList, IsReadAsHwdbIs) {
  const auto list = parse_deny_list(
      "# a table\n"
      "\n"
      "dmi:*:svnAcme:pnRoadRunner*:*\n"
      "# between\n"
      "dmi:bvnCoyote*\n"
      " REASON=the disks are not reset  \r\n"
      "\n"
      "dmi:*:svnOther*\n");
  EXPECT_TRUE(list.problems.empty());
  ASSERT_EQ(list.records.size(), 2U);
  EXPECT_EQ(list.records[0].patterns,
            (std::vector<std::string>{"dmi:*:svnAcme:pnRoadRunner*:*", "dmi:bvnCoyote*"}));
  EXPECT_EQ(list.records[0].reason, "the disks are not reset");
  EXPECT_EQ(list.records[0].line, 3U);
  EXPECT_EQ(list.records[1].reason, "no reason is given");
  EXPECT_EQ(list.records[1].line, 8U);
}

TEST(DenyList, ARecordEndsWhereItsPropertiesDo) {
  const auto list = parse_deny_list("dmi:a*\n REASON=1\ndmi:b*\n REASON=2");
  ASSERT_EQ(list.records.size(), 2U);
  EXPECT_EQ(find_denied(list, "dmi:b1")->reason, "2");
}

TEST(DenyList, FindsTheFirstThatFits) {
  const auto list = parse_deny_list(
      "dmi:*:pnCoyote*\n REASON=no\n\n"
      "dmi:*:svnAcme:pn[QR]oadRunner?:*\n REASON=yes\n\n"
      "dmi:*\n REASON=everybody\n");
  ASSERT_NE(find_denied(list, road_runner), nullptr);
  EXPECT_EQ(find_denied(list, road_runner)->reason, "yes");
  EXPECT_EQ(find_denied(list, "dmi:x")->reason, "everybody");
  EXPECT_EQ(find_denied(list, "other:x"), nullptr);
  EXPECT_EQ(find_denied({}, road_runner), nullptr);
  // All of the name is matched.
  EXPECT_EQ(find_denied(parse_deny_list("dmi:bvnAcme\n"), road_runner), nullptr);
}

TEST(DenyList, WhatCannotBeReadIsLeftOutAlone) {
  const auto list = parse_deny_list(
      "nonsense\n"
      " REASON=of nothing\n"
      "\n"
      "dmi:*\n"
      " REASON\n"
      " OTHER=1\n"
      " REASON=\n"
      " REASON=it stays off\n");
  std::vector<std::size_t> lines;
  for (const auto& problem : list.problems) lines.push_back(problem.line);
  EXPECT_EQ(lines, (std::vector<std::size_t>{1, 2, 5, 6, 7}));
  EXPECT_NE(list.problems[0].what.find("'nonsense'"), std::string::npos);
  ASSERT_EQ(list.records.size(), 1U);
  EXPECT_EQ(list.records[0].reason, "it stays off");
}

TEST(DenyList, PatternsThatTakeForEverAreLeftOut) {
  const auto list =
      parse_deny_list("dmi:" + std::string(17, '*') + "\ndmi:" + std::string(2000, 'a') + "\n");
  EXPECT_TRUE(list.records.empty());
  EXPECT_EQ(list.problems.size(), 2U);
}

TEST(DenyList, TheExampleDeniesNobody) {
  EXPECT_TRUE(parse_deny_list("").records.empty());
  EXPECT_TRUE(parse_deny_list("# one\n #dmi:*\n#\n").records.empty());
}

TEST(ModprobeRules, ForbidByName) {
  for (const auto* text : {"blacklist handover\n", "# x\n\tblacklist   handover",
                           "options a b=1\n"
                           "install handover /bin/false\n",
                           "install handover /usr/bin/true"}) {
    EXPECT_TRUE(is_blocked_by_file(text, "handover")) << text;
  }
  for (const auto* text :
       {"", "#blacklist handover\n", "blacklist handover_selftest\n", "options handover x=1\n",
        "install handover /sbin/modprobe --ignore-install handover\n", "blacklist\n"}) {
    EXPECT_FALSE(is_blocked_by_file(text, "handover")) << text;
  }
  EXPECT_TRUE(is_blocked_by_file("blacklist vfio-pci", "vfio_pci"));
}

TEST(ModprobeRules, ForbidByCommandLine) {
  EXPECT_EQ(blocking_word("quiet module_blacklist=a,handover kho=on", "handover"),
            "module_blacklist");
  EXPECT_EQ(blocking_word("modprobe.blacklist=handover", "handover"), "modprobe.blacklist");
  EXPECT_EQ(blocking_word("module_blacklist=handover_selftest,a modprobe.blacklist", "handover"),
            "");
  EXPECT_EQ(blocking_word("", "handover"), "");
}

TEST(Mountinfo, IsTakenApart) {
  const std::string text =
      "22 1 254:1 / / rw,noatime shared:1 - ext4 /dev/mapper/my\\040root rw\n"
      "nonsense\n"
      "40 22 0:44 / /mnt/a\\040b ro - nfs4 host:/x ro,vers=4.2\n";
  const auto mounts = parse_mountinfo(text);
  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_EQ(mounts[0].device, "254:1");
  EXPECT_EQ(mounts[0].source, "/dev/mapper/my root");
  EXPECT_FALSE(mounts[0].read_only);
  EXPECT_EQ(mounts[1].point, "/mnt/a b");
  EXPECT_EQ(mounts[1].type, "nfs4");
  EXPECT_TRUE(mounts[1].read_only);
}

}  // namespace
}  // namespace handover

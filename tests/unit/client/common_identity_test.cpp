// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "common/command.h"
#include "common/identity.h"

namespace handover::common {
namespace {

std::string refusal(const std::string& user, const std::string& group) {
  auto identity = find_identity(user, group);
  return identity ? "" : identity.error().message;
}

TEST(Identity, OfAUser) {
  const passwd* nobody = getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  const uid_t uid = nobody->pw_uid;
  const gid_t gid = nobody->pw_gid;
  for (const auto& user : {std::string("nobody"), std::to_string(uid)}) {
    auto identity = find_identity(user, "");
    ASSERT_TRUE(identity) << identity.error().message;
    EXPECT_EQ(identity->user, uid);
    EXPECT_EQ(identity->group, gid);
    EXPECT_EQ(std::count(identity->groups.begin(), identity->groups.end(), gid), 1);
    EXPECT_EQ(identity->environment[1], (std::pair<std::string, std::string>("USER", "nobody")));
  }
}

TEST(Identity, OfAGroup) {
  const group* found = getgrnam("daemon");
  ASSERT_NE(found, nullptr);
  const gid_t gid = found->gr_gid;
  auto alone = find_identity("", "daemon");
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->user, getuid());
  EXPECT_EQ(alone->group, gid);
  EXPECT_EQ(alone->groups, std::vector<gid_t>{gid});
  auto both = find_identity("nobody", "daemon");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->group, gid);
  auto numbers = find_identity("54321", "54322");
  ASSERT_TRUE(numbers);
  EXPECT_EQ(numbers->user, 54321U);
  EXPECT_EQ(numbers->groups, std::vector<gid_t>{54322});
}

TEST(Identity, WhatIsNone) {
  EXPECT_EQ(refusal("no-such-user", ""), "There is no user 'no-such-user'.");
  EXPECT_EQ(refusal("", "no-such-group"), "There is no group 'no-such-group'.");
  EXPECT_EQ(refusal("54321", ""), "User 54321 has no group: give one.");
  EXPECT_EQ(refusal("4294967295", ""), "There is no user '4294967295'.");
}

TEST(Identity, TheCommandHasItAndItsMemory) {
  if (geteuid() != 0) GTEST_SKIP() << "root alone can become somebody else";
  const client::Fd memory(memfd_create("m", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(memory.get(), 4096), 0);
  auto identity = find_identity("nobody", "daemon");
  ASSERT_TRUE(identity);
  Start start;
  start.arguments = {"sh", "-c",
                     "printf '%s %s %s' $(id -un) $(id -gn) \"$USER\" >/proc/self/fd/3; "
                     "! cat /etc/shadow >/dev/null 2>&1"};
  start.descriptors = {{memory.get(), "m"}};
  start.identity = *identity;
  auto child = start_command(start);
  ASSERT_TRUE(child) << child.error().message;
  int status = 0;
  ASSERT_EQ(waitpid(*child, &status, 0), *child);
  EXPECT_EQ(status, 0) << "it can read what root alone may";
  std::string text(21, '\0');
  ASSERT_GT(pread(memory.get(), text.data(), text.size(), 0), 0);
  EXPECT_EQ(text.substr(0, text.find('\0')), "nobody daemon nobody");
}

}  // namespace
}  // namespace handover::common

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdlib>

#include "common/loop.h"
#include "common/notification.h"
#include "common/notify_socket.h"

namespace handover::common {
namespace {

TEST(Notification, WhatGoesOn) {
  const auto said = parse_notification("STATUS=12 tables\nREADY=1\nEXTEND_TIMEOUT_USEC=5\n");
  EXPECT_TRUE(said.ready);
  EXPECT_EQ(said.passed_on, "STATUS=12 tables\nEXTEND_TIMEOUT_USEC=5");
}

TEST(Notification, WhatIsNotTheCommandsToSay) {
  const auto said = parse_notification(
      "MAINPID=1\nWATCHDOG=1\nSTOPPING=1\nFDSTORE=1\nFDNAME=x\nBARRIER=1\nREADY=0\nREADY=11");
  EXPECT_FALSE(said.ready);
  EXPECT_EQ(said.passed_on, "");
  EXPECT_FALSE(parse_notification("").ready);
  EXPECT_FALSE(parse_notification("\n\n").ready);
}

class Notify : public testing::Test {
 protected:
  void SetUp() override {
    auto made = make_loop();
    ASSERT_TRUE(made);
    loop = std::move(*made);
  }
  /// By sd_notify(3), in the command's place.
  void say(const char* what) {
    setenv("NOTIFY_SOCKET", socket.address().c_str(), 1);
    EXPECT_GT(sd_notify(0, what), 0);
    unsetenv("NOTIFY_SOCKET");
  }
  void run() {
    while (sd_event_run(loop.get(), 0) > 0) {
    }
  }

  Loop loop;
  NotifySocket socket;
  int ready = 0;
};

TEST_F(Notify, ReadyIsHeard) {
  auto opened = socket.open(loop.get(), getuid(), [this] { ++ready; });
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(socket.address().front(), '@');
  say("STATUS=starting");
  run();
  EXPECT_EQ(ready, 0);
  say("READY=1");
  run();
  EXPECT_EQ(ready, 1);
}

TEST_F(Notify, WhatComesWithDescriptorsIsClosed) {
  ASSERT_TRUE(socket.open(loop.get(), getuid(), [this] { ++ready; }));
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  setenv("NOTIFY_SOCKET", socket.address().c_str(), 1);
  EXPECT_GT(sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nREADY=1", &ends[1], 1), 0);
  unsetenv("NOTIFY_SOCKET");
  close(ends[1]);
  run();
  EXPECT_EQ(ready, 1);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 0) << "somebody has the other end still";
  close(ends[0]);
}

class NotifyOfOthers : public Notify {
 protected:
  /// The kernel tells the real user of whoever sends.
  void say_as(uid_t user) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (setresuid(user, user, user) == 0) say("READY=1");
      _exit(0);
    }
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
};

/// Root alone can play somebody else.
TEST_F(NotifyOfOthers, NobodyElseIsHeard) {
  if (geteuid() != 0) GTEST_SKIP() << "root alone can play somebody else";
  ASSERT_TRUE(socket.open(loop.get(), 12345, [this] { ++ready; }));
  say_as(54321);
  run();
  EXPECT_EQ(ready, 0);
  say_as(12345);
  run();
  EXPECT_EQ(ready, 1);
}

}  // namespace
}  // namespace handover::common

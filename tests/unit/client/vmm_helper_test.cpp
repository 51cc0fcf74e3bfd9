// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <iterator>

#include "common/loop.h"
#include "support/temporary_directory.h"
#include "vmm/guest_clock.h"
#include "vmm/helper.h"
#include "vmm/left_socket.h"

namespace handover::vmm {
namespace {

constexpr std::uint64_t patience_usec = 20'000'000;

pid_t sleeper() {
  const pid_t child = fork();
  if (child == 0) {
    // Nobody waits for the test's output while it sleeps.
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    for (;;) pause();
  }
  return child;
}

TEST(VmmGuard, KillsWhatItGuards) {
  const pid_t child = sleeper();
  {
    auto guard = Guard::over(child);
    ASSERT_TRUE(guard) << guard.error().message;
    const Guard moved(std::move(*guard));
    EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/// As if handover-vmm was killed: nobody runs its destructors.
TEST(VmmGuard, KillsWhenItsOwnerIsKilled) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  const pid_t owner = fork();
  if (owner == 0) {
    close(ends[0]);
    const pid_t child = sleeper();  // holds the writing end, too
    auto guard = Guard::over(child);
    if (!guard || write(ends[1], "g", 1) != 1) _exit(1);
    for (;;) pause();
  }
  close(ends[1]);
  // The end of the pipe comes when the last of them is gone; until then there is none.
  pollfd waited = {ends[0], POLLIN, 0};
  ASSERT_EQ(poll(&waited, 1, 20'000), 1);
  char guarded = 0;
  ASSERT_EQ(read(ends[0], &guarded, 1), 1);
  EXPECT_EQ(poll(&waited, 1, 50), 0);
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  EXPECT_EQ(poll(&waited, 1, 20'000), 1);
  close(ends[0]);
}

TEST(VmmHelper, WaitsForTheSockets) {
  const test::TemporaryDirectory directory;
  const auto socket = directory.path("tpm.sock");
  auto helpers = start_helpers({{"sh", "-c", "sleep 0.1; touch " + socket + "; exec sleep 1000"}},
                               {socket}, common::now_usec() + patience_usec);
  ASSERT_TRUE(helpers) << helpers.error().message;
  EXPECT_EQ(access(socket.c_str(), F_OK), 0);
  EXPECT_TRUE(helpers->front().runs());
  EXPECT_EQ(helpers->front().name(), "sh");
}

/// A socket that listens until the descriptor is closed, and is then left.
client::Fd listen_at(const std::string& path, int type = SOCK_STREAM) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(std::begin(address.sun_path), sizeof(address.sun_path) - 1);
  client::Fd listener(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  EXPECT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_TRUE(type == SOCK_DGRAM || listen(listener.get(), 1) == 0);
  return listener;
}

TEST(VmmLeftSocket, IsRemovedOnceItsOwnerHasEnded) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path("fs.sock");
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    auto owner = listen_at(path, type);
    EXPECT_TRUE(has_owner(path));
    EXPECT_TRUE(remove_left_sockets({path}));
    EXPECT_EQ(access(path.c_str(), F_OK), 0) << "somebody has it";
    owner.reset();
    EXPECT_FALSE(has_owner(path));
    EXPECT_TRUE(remove_left_sockets({path, directory.path("nothing")}));
    EXPECT_NE(access(path.c_str(), F_OK), 0);
  }
}

/// virtiofsd takes one connection, and ends when that does.
TEST(VmmLeftSocket, OwnerHearsNothing) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path("fs.sock");
  const auto owner = listen_at(path);
  EXPECT_TRUE(has_owner(path));
  pollfd waited = {owner.get(), POLLIN, 0};
  EXPECT_EQ(poll(&waited, 1, 50), 0);
}

TEST(VmmLeftSocket, OtherFilesStay) {
  const test::TemporaryDirectory directory;
  const auto file = directory.write("file", "x");
  const auto socket = directory.path("fs.sock");
  listen_at(socket);
  const auto link = directory.path("link");
  ASSERT_EQ(symlink(socket.c_str(), link.c_str()), 0);
  EXPECT_TRUE(remove_left_sockets({file, link, directory.path()}));
  EXPECT_EQ(access(file.c_str(), F_OK), 0);
  EXPECT_EQ(access(link.c_str(), F_OK), 0);
}

/// One that was killed has left it: QEMU would find nobody there.
TEST(VmmHelper, LeftSocketIsNotTheOneThatIsWaitedFor) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path("fs.sock");
  listen_at(path);
  auto helpers = start_helpers({{"sleep", "1000"}}, {path}, common::now_usec() + 100'000);
  ASSERT_FALSE(helpers);
  EXPECT_NE(helpers.error().message.find(path), std::string::npos);
  ASSERT_TRUE(remove_left_sockets({path}));
  const auto alive = listen_at(path);
  EXPECT_TRUE(start_helpers({{"sleep", "1000"}}, {path}, common::now_usec() + patience_usec));
}

TEST(VmmHelper, NamesTheOneThatEnds) {
  auto helpers = start_helpers({{"sh", "-c", "exit 3"}}, {"/no/such/socket"},
                               common::now_usec() + patience_usec);
  ASSERT_FALSE(helpers);
  EXPECT_EQ(helpers.error().message, "The helper 'sh' has ended.");
}

TEST(VmmHelper, NamesWhatNobodyMade) {
  auto helpers =
      start_helpers({{"sleep", "1000"}}, {"/no/such/socket"}, common::now_usec() + 100'000);
  ASSERT_FALSE(helpers);
  EXPECT_NE(helpers.error().message.find("/no/such/socket"), std::string::npos);
}

TEST(VmmHelper, AProgramThatIsNotThere) {
  auto helpers = start_helpers({{"/no/such/program"}}, {}, common::now_usec() + patience_usec);
  ASSERT_FALSE(helpers);
  EXPECT_NE(helpers.error().message.find("/no/such/program"), std::string::npos);
}

TEST(VmmHelper, OneThatDoesNotWantToEndIsMade) {
  const test::TemporaryDirectory directory;
  const auto ready = directory.path("ready");
  const auto begin = common::now_usec();
  {
    auto helpers = start_helpers(
        {{"sh", "-c", "trap '' TERM; touch " + ready + "; while :; do sleep 0.1; done"}}, {ready},
        common::now_usec() + patience_usec);
    ASSERT_TRUE(helpers) << helpers.error().message;
  }
  EXPECT_LT(common::now_usec() - begin, patience_usec);
}

TEST(VmmGuestClock, WhatIsAskedAndAnswered) {
  EXPECT_EQ(set_time_command(1'700'000'000'000'000'000),
            "\xff{\"arguments\":{\"time\":1700000000000000000},\"execute\":\"guest-set-time\"}\n");
  EXPECT_EQ(fault_of(R"({"return": {}})"), "");
  EXPECT_EQ(fault_of(R"({"error": {"class": "GenericError", "desc": "no RTC"}})"), "no RTC");
  for (const char* strange : {"", "x", "[]", "{}", R"({"error": 7})", R"({"error": {}})"}) {
    EXPECT_NE(fault_of(strange), "") << strange;
  }
}

}  // namespace
}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "common/command.h"
#include "support/temporary_directory.h"

namespace handover::common {
namespace {

int exit_code_of(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

std::string first_child_of(pid_t process) {
  const std::string pid = std::to_string(process);
  const std::string all = handover::test::text_of("/proc/" + pid + "/task/" + pid + "/children");
  return all.substr(0, all.find(' '));
}

bool sleeps(const std::string& pid) {
  return handover::test::text_of("/proc/" + pid + "/comm") == "sleep\n";
}

TEST(Command, GetsTheMemoryAsDescriptor3) {
  const client::Fd memory(memfd_create("m", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(memory.get(), 4096), 0);
  Start start;
  start.arguments = {"sh", "-c",
                     "printf '%s/%s/%s/%s' \"$LISTEN_FDS\" \"$LISTEN_FDNAMES\" "
                     "\"$HANDOVER_RESTORED\" \"${NOTIFY_SOCKET-none}\" >&3; "
                     "[ \"$LISTEN_PID\" = $$ ] && exit 7"};
  start.descriptors = {{memory.get(), "db"}};
  start.restored = true;
  setenv("NOTIFY_SOCKET", "@nowhere", 1);
  auto child = start_command(start);
  unsetenv("NOTIFY_SOCKET");
  ASSERT_TRUE(child) << child.error().message;
  EXPECT_EQ(exit_code_of(*child), 7);
  char text[64] = {};
  ASSERT_GT(pread(memory.get(), text, sizeof(text) - 1, 0), 0);
  EXPECT_STREQ(text, "1/db/1/none");
}

TEST(Command, WorksWhenTheMemoryIsDescriptor3Already) {
  const client::Fd spare(fcntl(3, F_DUPFD_CLOEXEC, 10));  // what the test runner has there, if any
  const client::Fd memory(memfd_create("m", MFD_CLOEXEC));
  ASSERT_EQ(dup3(memory.get(), 3, O_CLOEXEC) == 3 || memory.get() == 3, true);
  Start start;
  start.arguments = {"sh", "-c", "echo x >&3"};
  start.descriptors = {{3, "m"}};
  auto child = start_command(start);
  ASSERT_TRUE(child) << child.error().message;
  EXPECT_EQ(exit_code_of(*child), 0);
  EXPECT_NE(fcntl(3, F_GETFD) & FD_CLOEXEC, 0);  // ours is unchanged
  if (spare) {
    dup3(spare.get(), 3, 0);
  } else if (memory.get() != 3) {
    close(3);
  }
}

TEST(Command, WhatCannotRunSaysWhy) {
  const client::Fd memory(memfd_create("m", MFD_CLOEXEC));
  Start start;
  start.descriptors = {{memory.get(), "m"}};
  start.arguments = {"/no/such/program"};
  auto absent = start_command(start);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ENOENT);
  start.arguments = {"/dev/null"};
  auto no_program = start_command(start);
  ASSERT_FALSE(no_program);
  EXPECT_EQ(no_program.error().code, EACCES);
}

TEST(Command, GroupIsStoppedOnceAllOfItIs) {
  const client::Fd memory(memfd_create("m", MFD_CLOEXEC));
  Start start;
  start.descriptors = {{memory.get(), "m"}};
  start.arguments = {"sh", "-c", "sleep 1000 >/dev/null 2>&1 & exec sleep 1000 >/dev/null 2>&1"};
  auto child = start_command(start);
  ASSERT_TRUE(child) << child.error().message;
  // A shell that is stopped while it waits for a vfork() is never seen stopped.
  const auto both_sleep = [&] {
    return sleeps(std::to_string(*child)) && sleeps(first_child_of(*child));
  };
  for (int i = 0; i < 20'000 && !both_sleep(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(both_sleep());
  auto running = group_is_stopped(*child);
  ASSERT_TRUE(running);
  EXPECT_FALSE(*running);

  ASSERT_EQ(kill(-*child, SIGSTOP), 0);
  bool stopped = false;
  for (int i = 0; i < 1000 && !stopped; ++i) {
    auto now = group_is_stopped(*child);
    ASSERT_TRUE(now);
    stopped = *now;
    if (!stopped) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(stopped);
  ASSERT_EQ(kill(-*child, SIGKILL), 0);
  ASSERT_EQ(waitpid(*child, nullptr, 0), *child);
}

/// D16: it would be stopped by SIGTTIN, in a group of its own.
TEST(Command, ReadsFromOurTerminal) {
  int terminal = -1;
  const pid_t us = forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(us, 0);
  if (us == 0) {
    Start start;
    start.arguments = {"sh", "-c", "read line; echo \"got $line.\""};
    auto child = start_command(start);
    if (!child || !has_terminal(*child)) _exit(1);
    if (exit_code_of(*child) != 0) _exit(2);
    // A command that has ended left it with its group.
    take_terminal_back(*child);
    _exit(has_terminal(getpgrp()) ? 0 : 3);
  }
  ASSERT_EQ(write(terminal, "hello\n", 6), 6);
  std::string said;
  char part[64];
  for (ssize_t n = 0; (n = read(terminal, part, sizeof(part))) > 0;) {
    said.append(part, static_cast<std::size_t>(n));
  }
  EXPECT_NE(said.find("got hello."), std::string::npos) << said;
  EXPECT_EQ(exit_code_of(us), 0);
  close(terminal);
}

/// Two would write into one memory.
TEST(Command, IsKilledWithUs) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  const pid_t us = fork();
  ASSERT_GE(us, 0);
  if (us == 0) {
    Start start;
    start.arguments = {"sleep", "1000"};
    start.descriptors = {{ends[1], "end"}};
    if (!start_command(start)) _exit(1);
    pause();
    _exit(0);
  }
  close(ends[1]);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_EQ(kill(us, SIGKILL), 0);
  ASSERT_EQ(waitpid(us, nullptr, 0), us);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 0) << "it has its end still";
  close(ends[0]);
}

TEST(ProcessStat, NamesMayHoldAnything) {
  auto plain = parse_stat("12 (sh) S 1 34 34 0 -1");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->state, 'S');
  EXPECT_EQ(plain->group, 34);
  auto strange = parse_stat("12 (a) T 9 9 9 (b) T 1 56 0\n");
  ASSERT_TRUE(strange);
  EXPECT_EQ(strange->state, 'T');
  EXPECT_EQ(strange->group, 56);
  for (const char* text : {"", "12", "12 (sh)", "12 (sh) S", "12 (sh) S 1", "12 (sh) S 1 x"}) {
    EXPECT_FALSE(parse_stat(text)) << text;
  }
}

}  // namespace
}  // namespace handover::common

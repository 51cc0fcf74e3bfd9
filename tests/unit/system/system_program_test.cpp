// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "support/temporary_directory.h"
#include "system/program.h"

namespace handover::system {
namespace {

using How = ProgramEnd::How;
using namespace std::chrono_literals;

class ProgramTest : public testing::Test {
 protected:
  /// A shell script.
  ProgramEnd run(const std::string& script, std::uint64_t limit_usec = 60'000'000) {
    return run_file(write("script", "#!/bin/sh\n" + script + "\n"), limit_usec);
  }
  ProgramEnd run_file(const std::string& path, std::uint64_t limit_usec = 60'000'000) {
    return run_program({path, {}, {"PATH=/usr/bin:/bin", "WHO=me"}, limit_usec}, stop,
                       [this](std::string_view bytes) { printed += bytes; });
  }
  std::string write(const std::string& name, const std::string& text) {
    auto path = directory.write(name, text);
    chmod(path.c_str(), 0755);
    return path;
  }
  /// Waits for the number that a script writes there.
  [[nodiscard]] pid_t pid_in(const std::string& name) const {
    for (int i = 0; i < 3000; ++i) {
      const auto text = test::text_of(directory.path(name));
      if (text.ends_with('\n')) return std::stoi(text);
      std::this_thread::sleep_for(10ms);
    }
    return 0;
  }
  /// It is gone, or is about to be reaped by PID 1.
  static bool is_gone(pid_t pid) {
    for (int i = 0; i < 3000; ++i) {
      const auto status = test::text_of("/proc/" + std::to_string(pid) + "/status");
      if (status.empty() || status.find("State:\tZ") != std::string::npos) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  test::TemporaryDirectory directory;
  std::atomic<bool> stop{false};
  std::string printed;
};

TEST_F(ProgramTest, TellsItsStatus) {
  EXPECT_EQ(run("exit 0").how, How::exited);
  const auto end = run("exit 77");
  EXPECT_EQ(end.how, How::exited);
  EXPECT_EQ(end.status, 77);
}

TEST_F(ProgramTest, TellsWhatKilledIt) {
  const auto end = run("kill -SEGV $$");
  EXPECT_EQ(end.how, How::killed);
  EXPECT_EQ(end.status, SIGSEGV);
}

TEST_F(ProgramTest, TellsWhyItDoesNotStart) {
  const auto absent = run_file(directory.path("absent"));
  EXPECT_EQ(absent.how, How::failed);
  EXPECT_EQ(absent.status, ENOENT);
  const auto text = run_file(write("text", "no program at all\n"));
  EXPECT_EQ(text.how, How::failed);
  EXPECT_EQ(text.status, ENOEXEC);
}

TEST_F(ProgramTest, GivesBothOutputs) {
  EXPECT_EQ(run("echo one; echo two >&2").how, How::exited);
  EXPECT_EQ(printed, "one\ntwo\n");
}

TEST_F(ProgramTest, HasNothingOfThisProcess) {
  const int leaked = open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  ASSERT_GE(leaked, 0);
  EXPECT_EQ(run("cat; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= | sort; pwd; umask;"
                "ls /proc/self/fd | wc -l; grep SigBlk /proc/self/status;"
                "test $(ps -o pgid= $$) = $$ && echo its own group")
                .how,
            How::exited);
  close(leaked);
  // ls(1) has the directory open besides.
  EXPECT_EQ(printed,
            "PATH=/usr/bin:/bin\nWHO=me\n/\n0022\n4\nSigBlk:\t0000000000000000\nits own group\n");
}

TEST_F(ProgramTest, TakesMuchOutput) {
  EXPECT_EQ(run("head -c 1048576 /dev/zero").how, How::exited);
  EXPECT_EQ(printed.size(), 1048576U);
}

TEST_F(ProgramTest, EndsAtItsLimitWithAllThatItStarted) {
  const auto began = std::chrono::steady_clock::now();
  const auto end = run("sleep 1000 & echo $! >" + directory.path("child") + "; wait", 300'000);
  EXPECT_EQ(end.how, How::timed_out);
  EXPECT_GE(end.usec, 300'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 30s);
  EXPECT_TRUE(is_gone(pid_in("child")));
}

TEST_F(ProgramTest, OneThatPrintsWithoutEndEndsAtItsLimit) {
  EXPECT_EQ(run("while :; do echo y; done", 300'000).how, How::timed_out);
  EXPECT_FALSE(printed.empty());
}

TEST_F(ProgramTest, ThatIgnoresSignalsEndsAtItsLimit) {
  EXPECT_EQ(run("trap '' TERM INT HUP; exec sleep 1000", 300'000).how, How::timed_out);
}

/// Also what has left its group and its parent.
TEST_F(ProgramTest, LeavesNothingBehind) {
  const auto child = directory.path("child");
  const auto far = directory.path("far");
  const auto began = std::chrono::steady_clock::now();
  const auto end = run("sleep 1000 & echo $! >" + child + "; setsid sh -c 'sleep 1000 & echo $! >" +
                       far + "'; exit 5");
  EXPECT_EQ(end.how, How::exited);
  EXPECT_EQ(end.status, 5);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 30s);
  EXPECT_TRUE(is_gone(pid_in("child")));
  EXPECT_TRUE(is_gone(pid_in("far")));
}

TEST_F(ProgramTest, EndsWhenItIsStopped) {
  std::thread other([this] {
    EXPECT_GT(pid_in("started"), 0);
    stop = true;
  });
  const auto end = run("echo $$ >" + directory.path("started") + "; sleep 1000");
  other.join();
  EXPECT_EQ(end.how, How::stopped);
  EXPECT_TRUE(is_gone(pid_in("started")));
}

/// kill -9 of the daemon.
TEST_F(ProgramTest, EndsWithThisProcess) {
  const auto child = directory.path("child");
  const pid_t copy = fork();
  if (copy == 0) {
    run("sleep 1000 & echo $! >" + child + "; wait");
    _exit(0);
  }
  const auto pid = pid_in("child");
  ASSERT_GT(pid, 0);
  kill(copy, SIGKILL);
  waitpid(copy, nullptr, 0);
  EXPECT_TRUE(is_gone(pid));
}

}  // namespace
}  // namespace handover::system

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "common/process.h"
#include "vmm/program_file.h"

namespace handover::vmm {
namespace {

TEST(VmmProgramFile, OfAProcess) {
  auto program = program_of(::getpid(), nullptr);
  ASSERT_TRUE(program);
  EXPECT_EQ(::access(path_of(*program).c_str(), X_OK), 0);
  EXPECT_FALSE(program_of(0x7fffffff, nullptr));
}

/// As a unit that has no CAP_SYS_PTRACE.
bool drop_ptrace() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) < 0) return false;
  for (auto* set : {&data[0].effective, &data[0].permitted}) *set &= ~(1U << CAP_SYS_PTRACE);
  return syscall(SYS_capset, &header, data) == 0;
}

TEST(VmmProgramFile, OfAnotherUsersProcess) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can start a process as another user";
  auto user = common::find_identity("65534", "65534");
  ASSERT_TRUE(user) << user.error().message;
  auto process = common::start_process({"sleep", "1000"}, 3, [&] {
    return prctl(PR_SET_PDEATHSIG, 0) == 0 && common::become(*user) &&
           prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
  });
  ASSERT_TRUE(process) << process.error().message;
  const pid_t looks = fork();
  if (looks == 0) {
    if (!drop_ptrace()) _exit(100);
    const auto refused = program_of(*process, nullptr);
    if (refused || refused.error().code != EACCES) _exit(101);
    auto program = program_of(*process, &*user);
    if (!program) _exit(program.error().code);
    _exit(access(path_of(*program).c_str(), X_OK) == 0 ? 0 : 102);
  }
  int status = 0;
  EXPECT_EQ(waitpid(looks, &status, 0), looks);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  kill(*process, SIGKILL);
  waitpid(*process, nullptr, 0);
}

constexpr auto python = "/usr/bin/python3";
/// It becomes another user when it is told to, and says so.
constexpr auto becomes_another =
    "import os\n"
    "os.read(0, 1)\n"
    "os.setresgid(65534, 65534, 65534)\n"
    "os.setresuid(65534, 65534, 65534)\n"
    "os.write(1, b'.')\n"
    "os.read(0, 1)\n";

/// In a process without CAP_SYS_PTRACE, whose exit code tells where it went wrong.
[[noreturn]] void look_at_one_that_becomes_another() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE) < 0 || !drop_ptrace()) _exit(100);
  int orders[2] = {-1, -1};
  int answers[2] = {-1, -1};
  if (pipe(orders) < 0 || pipe(answers) < 0) _exit(101);
  auto process = common::start_process({python, "-c", becomes_another}, 10, [&] {
    return dup2(orders[0], STDIN_FILENO) == STDIN_FILENO &&
           dup2(answers[1], STDOUT_FILENO) == STDOUT_FILENO;
  });
  if (!process) _exit(102);
  const auto kept = program_at_start(*process, python);
  if (!kept) _exit(103);
  if (program_at_start(*process, "/bin/sh")) _exit(104);  // a script's
  char answer = 0;
  if (write(orders[1], ".", 1) != 1 || read(answers[0], &answer, 1) != 1) _exit(105);
  if (program_of(*process, nullptr) || program_at_start(*process, python)) _exit(106);
  if (access(path_of(kept).c_str(), X_OK) != 0) _exit(107);
  kill(*process, SIGKILL);
  _exit(0);
}

TEST(VmmProgramFile, OfOneThatBecomesAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can start a process as another user";
  const pid_t looks = fork();
  if (looks == 0) look_at_one_that_becomes_another();
  int status = 0;
  EXPECT_EQ(waitpid(looks, &status, 0), looks);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace handover::vmm

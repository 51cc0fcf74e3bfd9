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

}  // namespace
}  // namespace handover::vmm

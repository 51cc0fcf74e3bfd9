// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "common/file.h"
#include "common/process.h"

namespace handover::vmm {
namespace {

constexpr int life_number = 0;  // in the guard's process
constexpr int process_number = 1;

/// In the child: nothing of ours stays open there, least of all the guest's memory.
[[noreturn]] void watch(int life, int process) {
  setpgid(0, 0);  // what a terminal sends is for others
  const int high_life = fcntl(life, F_DUPFD, 3);
  const int high_process = fcntl(process, F_DUPFD, 3);
  if (dup2(high_life, life_number) < 0 || dup2(high_process, process_number) < 0) _exit(1);
  if (syscall(SYS_close_range, process_number + 1, ~0U, 0U) < 0) {
    for (int fd = process_number + 1; fd < 1024; ++fd) close(fd);
  }
  char nothing = 0;
  while (read(life_number, &nothing, 1) < 0 && errno == EINTR) {
  }
  syscall(SYS_pidfd_send_signal, process_number, SIGKILL, nullptr, 0);
  _exit(0);
}

}  // namespace

bool prepare_child(const common::Identity* identity) {
  if (identity != nullptr) {
    if (!common::set_environment_of(*identity) || !common::become(*identity)) return false;
  }
  // A change of user would undo it.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setpgid(0, 0) < 0) return false;
  return common::forget_parent();
}

client::Result<Guard> Guard::over(pid_t process) {
  const client::Fd descriptor(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
  if (!descriptor) return common::errno_error("Cannot hold process " + std::to_string(process));
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) < 0) return common::errno_error("Cannot make a pipe");
  client::Fd reader(ends[0]);
  client::Fd writer(ends[1]);
  const pid_t guard = fork();
  if (guard < 0) return common::errno_error("Cannot fork");
  if (guard == 0) {
    writer.reset();
    watch(reader.get(), descriptor.get());
  }
  return Guard(guard, std::move(writer));
}

Guard::Guard(Guard&& other) noexcept
    : guard_(std::exchange(other.guard_, 0)), life_(std::move(other.life_)) {}

Guard::~Guard() {
  if (guard_ == 0) return;
  life_.reset();
  while (waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "qemu.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "arguments.h"
#include "common/file.h"
#include "common/loop.h"
#include "common/process.h"

namespace handover::vmm {
namespace {

constexpr int ram_number = 3;  // in QEMU's process
constexpr int monitor_number = 4;
constexpr int first_free_number = 5;

// -machine memory-backend= came with 5.0, -chardev socket,fd= and x-ignore-shared before.
constexpr Version oldest{5, 2};

/// In the child.
bool prepare_qemu(int ram, int monitor, const common::Identity* identity) {
  // Both may lie where the other is to go.
  const int high_ram = fcntl(ram, F_DUPFD_CLOEXEC, first_free_number);
  const int high_monitor = fcntl(monitor, F_DUPFD_CLOEXEC, first_free_number);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (high_ram < 0 || high_monitor < 0 || nothing < 0) return false;
  if (dup2(high_ram, ram_number) < 0 || dup2(high_monitor, monitor_number) < 0 ||
      dup2(nothing, STDIN_FILENO) < 0) {
    return false;
  }
  // Nobody could look after a guest that outlives us, and its memory might be preserved. (The guard
  // does the same for one that changes its user, a moment later.)
  return prepare_child(identity);
}

void kill_and_wait(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

client::Error too_old(const Version& version) {
  return {"",
          "QEMU " + std::to_string(version.major) + "." + std::to_string(version.minor) +
              " is too old: 5.2 or later is needed.",
          ENOTSUP};
}

}  // namespace

client::Result<std::string> find_program(const std::string& program) {
  const client::Error missing{"", "There is no program '" + program + "'.", ENOENT};
  if (program.find('/') != std::string::npos) {
    if (access(program.c_str(), X_OK) == 0) return program;
    return missing;
  }
  const char* path = getenv("PATH");  // NOLINT(concurrency-mt-unsafe): one thread
  std::istringstream directories(path ? path : "/usr/bin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');) {
    directory.append("/").append(program);
    if (access(directory.c_str(), X_OK) == 0) return directory;
  }
  return missing;
}

client::Result<Qemu> Qemu::start(const Description& description, int ram, Begin begin,
                                 const Limits& limits, const common::Identity* identity) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
    return common::errno_error("Cannot make a socket");
  }
  client::Fd ours(ends[0]);
  client::Fd theirs(ends[1]);
  const Launch launch{description.qemu, description.arguments, description.memory,
                      ram_number,       monitor_number,        begin == Begin::incoming};
  auto pid = common::start_process(command_line(launch), first_free_number,
                                   [&] { return prepare_qemu(ram, theirs.get(), identity); });
  if (!pid) return pid.error();
  // With -runas it becomes another user in a moment, and nobody without CAP_SYS_PTRACE may look.
  client::Fd first_program;
  if (auto path = find_program(description.qemu); path && !identity) {
    first_program = program_at_start(*pid, *path);
  }
  theirs.reset();  // a QEMU that ends is then seen at once

  auto guard = Guard::over(*pid);
  if (!guard) {
    kill_and_wait(*pid);
    return guard.error();
  }
  Qemu qemu(*pid, std::move(*guard), std::move(ours), limits.command);
  qemu.first_program_ = std::move(first_program);
  auto version = qemu.monitor_.greet(common::now_usec() + limits.start);
  if (!version) {
    return client::Error{"", "QEMU did not start: " + version.error().message,
                         version.error().code};
  }
  if (version->major < oldest.major ||
      (version->major == oldest.major && version->minor < oldest.minor)) {
    return too_old(*version);
  }
  qemu.version_ = *version;
  return qemu;
}

Qemu::Qemu(Qemu&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      first_program_(std::move(other.first_program_)),
      guard_(std::move(other.guard_)),
      monitor_(std::move(other.monitor_)),
      version_(other.version_),
      command_usec_(other.command_usec_) {}

client::Result<client::Fd> Qemu::take_program(const common::Identity* identity) {
  auto now = program_of(pid_, identity);
  if (now || !first_program_) return now;
  return std::move(first_program_);
}

Qemu::~Qemu() {
  if (pid_ == 0) return;
  kill_and_wait(pid_);
}

}  // namespace handover::vmm

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

namespace handover::test {

namespace {

constexpr int first_passed_fd = 3;  // SD_LISTEN_FDS_START

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (auto& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

/// LISTEN_FDS and LISTEN_FDNAMES; LISTEN_PID is known in the child only.
std::vector<std::string> environment_of(const ChildProcess::Setup& setup) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string present = *entry;
    const bool ours = present.starts_with("LISTEN_") || present.starts_with("NOTIFY_SOCKET=") ||
                      present.starts_with("DBUS_") || present.starts_with("JOURNAL_STREAM=");
    if (!ours) all.push_back(present);
  }
  all.insert(all.end(), setup.environment.begin(), setup.environment.end());
  if (!setup.listen_fds.empty()) {
    std::string names;
    for (const auto& [name, fd] : setup.listen_fds) names += (names.empty() ? "" : ":") + name;
    all.push_back("LISTEN_FDS=" + std::to_string(setup.listen_fds.size()));
    all.push_back("LISTEN_FDNAMES=" + names);
  }
  return all;
}

/// Puts the descriptors at 3, 4, …; false if one cannot be.
bool pass(const std::vector<std::pair<std::string, int>>& fds) {
  const int count = static_cast<int>(fds.size());
  std::vector<int> copies;
  // First out of the way: a slot may be another one's source.
  for (const auto& [name, fd] : fds) {
    copies.push_back(fcntl(fd, F_DUPFD_CLOEXEC, first_passed_fd + count));
    if (copies.back() < 0) return false;
  }
  for (int i = 0; i < count; ++i) {
    if (dup2(copies[static_cast<std::size_t>(i)], first_passed_fd + i) < 0) return false;
  }
  return true;
}

}  // namespace

ChildProcess::ChildProcess(EventLoop& loop, const Setup& setup, std::function<void(int)> ended)
    : ended_(std::move(ended)) {
  auto argv = setup.argv;
  auto environment = environment_of(setup);
  const UniqueFd log(open(setup.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!log) throw std::system_error(errno, std::generic_category(), setup.log);
  pid_ = fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log.get(), STDOUT_FILENO);
    dup2(log.get(), STDERR_FILENO);
    // Before descriptors are moved: it may use some.
    if (setup.in_child) setup.in_child();
    if (!pass(setup.listen_fds)) _exit(125);
    if (!setup.listen_fds.empty()) {
      environment.push_back("LISTEN_PID=" + std::to_string(getpid()));
    }
    execve(argv[0].c_str(), pointers(argv).data(), pointers(environment).data());
    _exit(126);
  }
  pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  must(pidfd_ ? 0 : -errno, "pidfd_open");
  source_ = loop.readable(pidfd_.get(), [this] { reap(); });
}

ChildProcess::~ChildProcess() {
  source_.reset();
  if (!running_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ChildProcess::signal(int number) const {
  if (running_) kill(pid_, number);
}

void ChildProcess::reap() {
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return;
  running_ = false;
  source_.reset();
  // `ended_` may destroy this object.
  const auto ended = ended_;
  ended(status);
}

}  // namespace handover::test

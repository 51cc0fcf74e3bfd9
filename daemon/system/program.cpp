// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <optional>

#include "core/unique_fd.h"
#include "system/process.h"

namespace handover::system {

namespace {

/// How soon `stop` is seen.
constexpr std::uint64_t look_usec = 20'000;
/// A process in a system call that cannot be interrupted does not end when it is killed.
constexpr std::uint64_t longest_end_usec = 2'000'000;
constexpr long end_look_nsec = 20'000'000;
constexpr unsigned most_end_looks = 50;
/// Each takes up to 256 KiB; a pipe has 64, or 1,024 where somebody has enlarged it
/// (pipe-max-size).
constexpr unsigned most_last_reads = 8;

struct Order {
  const char* path;
  char* const* argv;
  char* const* environment;
  int output;
  pid_t daemon;
  pid_t supervisor;  ///< set by itself
};

// ---- in the copy: plain system calls only

[[noreturn]] void become(const Order& order, int told) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != order.supervisor) ::_exit(1);  // it has died before that
  ::setsid();
  // All below 3 was closed: the pipe may be there.
  const int back = ::fcntl(told, F_DUPFD_CLOEXEC, 3);
  const int output = ::fcntl(order.output, F_DUPFD_CLOEXEC, 3);
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input >= 0 && output >= 0 && (input == 0 || ::dup2(input, 0) == 0) &&
      ::dup2(output, 1) == 1 && ::dup2(output, 2) == 2) {
    if (input == 0) ::fcntl(0, F_SETFD, 0);
    // The daemon is the last one that the kernel kills for memory; this is not.
    const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0) [[maybe_unused]]
      const auto written = ::write(score, "0", 1);
    ::umask(S_IWGRP | S_IWOTH);
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::chdir("/") == 0) ::execve(order.path, order.argv, order.environment);
  }
  const int sys_errno = errno;
  [[maybe_unused]] const auto written = ::write(back, &sys_errno, sizeof sys_errno);
  ::_exit(1);
}

/// Ends the children of this process, which has one thread, but for one; how many have not ended
/// yet. Those of children that are gone become its own (PR_SET_CHILD_SUBREAPER). Without
/// CONFIG_PROC_CHILDREN there is no such file.
unsigned end_children(pid_t but) noexcept {
  const UniqueFd file(::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text{};
  unsigned left = 0;
  pid_t pid = 0;
  for (;;) {
    const auto got = file ? ::read(file.get(), text.data(), text.size()) : 0;
    if (got <= 0) return left;
    for (const char c : std::string_view(text.data(), static_cast<std::size_t>(got))) {
      if (c >= '0' && c <= '9') {
        pid = pid * 10 + (c - '0');
        continue;
      }
      if (pid > 0 && pid != but) {
        ::kill(pid, SIGKILL);
        if (::waitpid(pid, nullptr, WNOHANG) == 0) ++left;
      }
      pid = 0;
    }
  }
}

bool has_ended(pid_t pid, siginfo_t& how) noexcept {
  how = {};
  return ::waitid(P_PID, static_cast<id_t>(pid), &how, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         how.si_pid != 0;
}

/// The program and whatever it started.
void end_all(pid_t program, const sigset_t& signals) noexcept {
  for (unsigned looks = 0; looks < most_end_looks; ++looks) {
    // Its id is its own, and its group's, until it is waited for.
    ::kill(-program, SIGKILL);
    ::kill(program, SIGKILL);
    const auto others = end_children(program);
    siginfo_t how = {};
    if (has_ended(program, how) && others == 0) break;
    const timespec pause = {0, end_look_nsec};
    ::sigtimedwait(&signals, nullptr, &pause);
  }
  ::waitpid(program, nullptr, WNOHANG);
}

/// What the program ended with, as waitpid(2) says it; -errno if it was not started.
int supervise(Order order) noexcept {
  order.supervisor = ::getpid();
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGCHLD);
  ::sigaddset(&signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGCHLD, SIG_DFL);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != order.daemon) return -ECANCELED;
  std::array<int, 2> told{};
  if (::pipe2(told.data(), O_CLOEXEC) != 0) return -errno;
  // As fork(), without the locks of the C library, which another thread may have held.
  const auto program = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (program < 0) return -errno;
  if (program == 0) become(order, told[1]);
  ::close(told[1]);
  ::close(order.output);
  int failed = 0;
  if (::read(told[0], &failed, sizeof failed) != sizeof failed) failed = 0;
  siginfo_t how = {};
  while (!has_ended(program, how)) {
    if (::sigwaitinfo(&signals, nullptr) == SIGTERM) break;
  }
  int status = SIGKILL;
  if (how.si_pid != 0) status = how.si_code == CLD_EXITED ? how.si_status << 8 : how.si_status;
  end_all(program, signals);
  return failed != 0 ? -failed : status;
}

// ---- in this process

std::uint64_t usec_since(std::chrono::steady_clock::time_point then) {
  const auto passed = std::chrono::steady_clock::now() - then;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(passed).count());
}

/// False at the end of the output. A program that prints without end does not keep us here.
bool read_some(int fd, const std::function<void(std::string_view)>& output) {
  constexpr unsigned most_reads = 16;
  std::array<char, 16384> bytes{};
  for (unsigned i = 0; i < most_reads; ++i) {
    const auto got = ::read(fd, bytes.data(), bytes.size());
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    output(std::string_view(bytes.data(), static_cast<std::size_t>(got)));
  }
  return true;
}

ProgramEnd end_of(int result) {
  using How = ProgramEnd::How;
  if (result < 0) return {How::failed, -result};
  if (WIFEXITED(result)) return {How::exited, WEXITSTATUS(result)};
  return {How::killed, WTERMSIG(result)};
}

/// `execve()` takes pointers to what it does not change.
std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ProgramEnd run_program(const Program& program, const std::atomic<bool>& stop,
                       const std::function<void(std::string_view)>& output) {
  using How = ProgramEnd::How;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {How::failed, errno};
  const UniqueFd from(ends[0]);
  UniqueFd into(ends[1]);
  ::fcntl(from.get(), F_SETFL, O_NONBLOCK);

  std::vector<std::string> arguments = {program.path};
  arguments.insert(arguments.end(), program.arguments.begin(), program.arguments.end());
  auto environment = program.environment;
  const auto argv = pointers_to(arguments);
  const auto envp = pointers_to(environment);
  const Order order{program.path.c_str(), argv.data(), envp.data(), into.get(), ::getpid(), 0};
  Process::Place place;
  place.keep = into.get();
  const auto begun = std::chrono::steady_clock::now();
  auto process = Process::start(place, [&order] { return supervise(order); });
  if (!process) return {How::failed, process.error().sys_errno};
  into.reset();

  std::optional<How> told;  // to end, and why
  std::uint64_t told_at = 0;
  bool open = true;
  std::optional<int> result;
  while (!result) {
    const auto past = usec_since(begun);
    if (!told && (stop || past >= program.limit_usec)) {
      told = stop ? How::stopped : How::timed_out;
      told_at = past;
      process->signal(SIGTERM);
    }
    if (told && past - told_at > longest_end_usec) break;  // ~Process() leaves it behind
    auto pause = look_usec;
    if (!told) pause = std::min(pause, program.limit_usec - past);
    if (open) {
      pollfd more = {from.get(), POLLIN, 0};
      const timespec limit = {0, static_cast<long>(pause) * 1000};
      ::ppoll(&more, 1, &limit, nullptr);
      open = read_some(from.get(), output);
    }
    result = process->wait(open ? 0 : pause);
  }
  // What is in the pipe yet, be it as large as a pipe of root's may be. Who was left behind may go
  // on to write.
  for (unsigned reads = 0; open && result && reads < most_last_reads; ++reads) {
    open = read_some(from.get(), output);
    pollfd more = {from.get(), POLLIN, 0};
    if (::poll(&more, 1, 0) <= 0) break;
  }
  auto end = told ? ProgramEnd{*told, 0} : end_of(*result);
  end.usec = usec_since(begun);
  return end;
}

}  // namespace handover::system

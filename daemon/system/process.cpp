// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <ctime>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace handover::system {

/// In memory that the copy shares with this process.
struct Process::Shared {
  std::atomic<bool> ended = false;
  std::atomic<int> result = 0;
};

void Process::Unmap::operator()(Shared* page) const { ::munmap(page, sizeof(Shared)); }

namespace {

// ThreadSanitizer must see a process being made, to let its own locks go in the copy: it sees
// clone(), and no raw system call.
#if defined(__SANITIZE_THREAD__)
constexpr bool use_clone3 = false;
#else
constexpr bool use_clone3 = true;
#endif

/// Processes that had not ended when their object went: they are waited for as they end.
class LeftBehind {
 public:
  void add(UniqueFd pidfd) {
    const std::lock_guard lock(mutex_);
    pidfds_.push_back(std::move(pidfd));
  }
  void reap() {
    const std::lock_guard lock(mutex_);
    pidfds_.erase(std::remove_if(pidfds_.begin(), pidfds_.end(),
                                 [](const UniqueFd& fd) {
                                   siginfo_t info = {};
                                   return ::waitid(P_PIDFD, static_cast<id_t>(fd.get()), &info,
                                                   WEXITED | WNOHANG | __WALL) != 0 ||
                                          info.si_pid != 0;
                                 }),
                  pidfds_.end());
  }

 private:
  std::mutex mutex_;
  std::vector<UniqueFd> pidfds_;
};

LeftBehind& left_behind() {
  static LeftBehind& all = *new LeftBehind;  // never destroyed: threads may use it at the end
  return all;
}

struct Work {
  Process::Place place;
  int cgroup_procs = -1;  ///< to enter the cgroup by; -1: it began there
  pid_t parent = 0;
  const std::function<int()>* call = nullptr;
  std::atomic<bool>* ended = nullptr;
  std::atomic<int>* result = nullptr;
};

/// When the memory of the cgroup is over, this process is to go before any of its owner's.
void volunteer_for_out_of_memory() {
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const auto written = ::write(fd, "1000", 4);
  const UniqueFd close(fd);
}

void close_all_but(int keep) {
  const auto kept = static_cast<unsigned>(keep);  // -1: beyond all of them
  if (kept > 0) ::syscall(SYS_close_range, 0U, kept - 1, 0U);
  if (kept < ~0U) ::syscall(SYS_close_range, kept + 1, ~0U, 0U);
}

/// All that happens in the copy. Plain system calls only.
[[noreturn]] void run(const Work& work) noexcept {
  // With the daemon goes what it asked for: a copy of its table of descriptors would keep sessions
  // and locks from its successor.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != work.parent) ::_exit(1);
  int result = 0;
  if (work.cgroup_procs >= 0 && ::write(work.cgroup_procs, "0", 1) != 1) {
    result = -errno;
  } else {
    if (work.place.cgroup >= 0) volunteer_for_out_of_memory();
    if (!work.place.share_descriptors) close_all_but(work.place.keep);
    try {
      result = (*work.call)();
    } catch (...) {  // it must not; and must not unwind into the copy of its caller either
      result = -ENOTRECOVERABLE;
    }
  }
  *work.result = result;
  *work.ended = true;
  ::_exit(0);
}

int run_as_thread_function(void* work) { run(*static_cast<const Work*>(work)); }

/// As fork(), in the cgroup from the first instruction on. No signal tells of its end.
pid_t clone_into(const Work& work, int& pidfd) {
  clone_args args = {};
  args.flags = CLONE_PIDFD;
  if (work.place.share_descriptors) args.flags |= CLONE_FILES;
  if (work.place.cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(work.place.cgroup);
  }
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  const long pid = ::syscall(SYS_clone3, &args, sizeof(args));
  if (pid == 0) run(work);
  return static_cast<pid_t>(pid);
}

/// Where clone3() is not allowed: systemd's RestrictNamespaces= answers it with ENOSYS, since a
/// filter cannot look at its arguments. The copy then moves itself.
pid_t clone_and_move(Work work, int& pidfd, UniqueFd& procs) {
  if (work.place.cgroup >= 0) {
    procs.reset(::openat(work.place.cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC));
    if (!procs) return -1;
    work.cgroup_procs = procs.get();
  }
  // clone() wants a stack. The copy has its own copy of this one.
  constexpr std::size_t stack_size = std::size_t{256} << 10;
  void* stack = ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -1;
  const int flags = CLONE_PIDFD | (work.place.share_descriptors ? CLONE_FILES : 0);
  const pid_t pid =
      ::clone(run_as_thread_function, static_cast<char*>(stack) + stack_size, flags, &work, &pidfd);
  const int sys_errno = errno;
  ::munmap(stack, stack_size);
  errno = sys_errno;
  return pid;
}

}  // namespace

Result<Process> Process::start(const Place& place, const std::function<int()>& call) {
  left_behind().reap();
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("cannot map memory for another process");
  std::unique_ptr<Shared, Unmap> page(new (memory) Shared);

  Work work;
  work.place = place;
  work.parent = ::getpid();
  work.call = &call;
  work.ended = &page->ended;
  work.result = &page->result;
  int pidfd = -1;
  UniqueFd procs;
  pid_t pid = -1;
  if (use_clone3) pid = clone_into(work, pidfd);
  if (!use_clone3 || (pid < 0 && (errno == ENOSYS || errno == EPERM))) {
    pid = clone_and_move(work, pidfd, procs);
  }
  if (pid < 0) return fail_errno("cannot start a process for a system call");
  return Process(pid, UniqueFd(pidfd), std::move(procs), page.release());
}

Process::Process(Process&& other) noexcept = default;

Process::~Process() {
  if (!pidfd_) return;
  kill();
  left_behind().add(std::move(pidfd_));
  left_behind().reap();
}

std::optional<int> Process::wait(std::uint64_t usec) {
  if (pidfd_) {
    pollfd ended = {pidfd_.get(), POLLIN, 0};
    timespec limit = {static_cast<time_t>(usec / 1'000'000),
                      static_cast<long>(usec % 1'000'000) * 1000};
    if (::ppoll(&ended, 1, &limit, nullptr) <= 0) return std::nullopt;
    siginfo_t info = {};
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | __WALL);
    pidfd_.reset();
  }
  return page_->ended ? page_->result.load() : -ENOMEM;
}

std::uint64_t Process::processor_usec() const {
  clockid_t clock = 0;
  timespec had = {};
  if (!pidfd_ || ::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &had) != 0) {
    return 0;
  }
  return static_cast<std::uint64_t>(had.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(had.tv_nsec) / 1000;
}

void Process::signal(int number) {
  if (pidfd_) ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0U);
}

}  // namespace handover::system

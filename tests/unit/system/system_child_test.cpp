// SPDX-License-Identifier: LGPL-2.1-or-later
// System calls in another cgroup, for real where this machine lets the test make one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "core/unique_fd.h"
#include "support/temporary_directory.h"
#include "system/child.h"
#include "system/files.h"
#include "system/process.h"
#include "test_cgroup.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;

namespace {

constexpr std::uint64_t patience = 60'000'000;
constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// Plain system calls only.
int sleep_for_ever() {
  for (;;) ::pause();
}

bool write_to(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// 1: this process is in a cgroup whose path ends in `name`. Plain system calls only.
int is_in(const char* name) {
  const int fd = ::open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
  char text[8192] = {};
  const ssize_t got = ::read(fd, text, sizeof(text) - 1);
  ::close(fd);
  return got > 0 && ::memmem(text, static_cast<std::size_t>(got), name, ::strlen(name)) != nullptr;
}

/// From this process to the one in the cgroup, which shares its descriptors.
class Signal {
 public:
  void give() const {
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(fd_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }
  void wait() const {
    std::uint64_t got = 0;
    while (::read(fd_.get(), &got, sizeof got) < 0 && errno == EINTR) {
    }
  }

 private:
  UniqueFd fd_{::eventfd(0, EFD_CLOEXEC)};
};

/// A cgroup of the test's own.
class Cgroup : public testing::Test {
 protected:
  void SetUp() override {
    if (!problem.empty()) GTEST_SKIP() << problem;
  }

  TestCgroup cgroup;
  const std::string problem = cgroup.problem();
  const std::string path = cgroup.path();
  const std::string directory = cgroup.directory();
  const std::string name = path.substr(path.rfind('/') + 1);
};

// What the backends are given.
const std::function<int(const std::string&, const std::function<int()>&)> run_in =
    [](const std::string& cgroup, const std::function<int()>& call) {
      return run_in_cgroup(cgroup, call);
    };

TEST(RunInCgroup, RunsHereWithoutOne) {
  pid_t pid = 0;
  EXPECT_EQ(run_in("",
                   [&] {
                     pid = ::getpid();
                     return 7;
                   }),
            7);
  EXPECT_EQ(pid, ::getpid());
}

TEST(RunInCgroup, RunsHereInTheOwnOne) {
  const std::string own = own_cgroup();
  int calls = 0;
  EXPECT_EQ(run_in_cgroup(own.empty() ? "/" : own, [&] { return ++calls; }), 1);
  EXPECT_EQ(calls, 1);
}

TEST(RunInCgroup, SaysWhichItCannotReach) {
  const auto call = []() -> int {
    ADD_FAILURE() << "it ran";
    return 0;
  };
  EXPECT_EQ(run_in_cgroup("/handoverd-test-that-is-not-there", call), -ENOENT);
  EXPECT_EQ(run_in_cgroup("/../../../etc", call), -EINVAL);
  EXPECT_EQ(run_in_cgroup("relative", call), -EINVAL);
  EXPECT_EQ(run_in_cgroup(std::string("/a\0b", 4), call), -EINVAL);
}

TEST_F(Cgroup, TheCallRunsInIt) {
  EXPECT_EQ(is_in(name.c_str()), 0);
  EXPECT_EQ(run_in_cgroup(path, [this] { return is_in(name.c_str()); }), 1);
  EXPECT_EQ(is_in(name.c_str()), 0);
  EXPECT_EQ(run_in_cgroup(path, [] { return -ENOSPC; }), -ENOSPC);
}

TEST_F(Cgroup, WhatTheCallOpensIsOpenHereAndItsMemoryIsItsOwn) {
  int changed = 0;
  const int opened = run_in_cgroup(path, [&changed] {
    changed = 1;
    const int fd = ::memfd_create("opened", MFD_CLOEXEC);
    return ::pwrite(fd, "text", 4, 0) == 4 ? fd : -errno;
  });
  ASSERT_GE(opened, 0);
  const UniqueFd fd(opened);
  EXPECT_EQ(changed, 0);
  char text[5] = {};
  EXPECT_EQ(::pread(fd.get(), text, 4, 0), 4);
  EXPECT_STREQ(text, "text");
}

TEST_F(Cgroup, AKilledCallIsOutOfMemory) {
  EXPECT_EQ(run_in_cgroup(path, [] { return ::kill(::getpid(), SIGKILL); }), -ENOMEM);
}

TEST_F(Cgroup, ACallThatThrowsEndsThereAlone) {
  EXPECT_EQ(run_in_cgroup(path, []() -> int { throw 1; }), -ENOTRECOVERABLE);
}

TEST_F(Cgroup, ALimitEndsTheCall) {
  EXPECT_EQ(run_in_cgroup(path, sleep_for_ever, {.limit_usec = 100'000}), -ETIMEDOUT);
}

/// What must not be ended half-way is charged to us from then on, and has all the time it needs.
TEST_F(Cgroup, AfterItsLimitACallMayEndHere) {
  const auto call = [this] {
    for (int i = 0; i < 10; ++i) ::usleep(50'000);
    return 10 + is_in(name.c_str());
  };
  EXPECT_EQ(run_in_cgroup(path, call, {.limit_usec = 100'000, .ends_here = true}), 10);
  EXPECT_EQ(run_in_cgroup(path, call), 11);
}

TEST_F(Cgroup, AsLongAsACallComesFurtherItHasTime) {
  const auto call = [] {
    for (int i = 0; i < 10; ++i) ::usleep(50'000);
    return 3;
  };
  EXPECT_EQ(run_in_cgroup(path, call, {200'000, false, [] { return true; }}), 3);
  EXPECT_EQ(run_in_cgroup(path, call, {200'000, false, [] { return false; }}), -ETIMEDOUT);
}

TEST_F(Cgroup, OthersWorkMeanwhile) {
  const Signal go;
  int meanwhile = 0;
  EXPECT_EQ(run_in_cgroup(path,
                          [&] {
                            go.wait();
                            return 3;
                          },
                          {patience, false,
                           [&] {
                             go.give();
                             return ++meanwhile < 0;
                           }}),
            3);
  EXPECT_GE(meanwhile, 1);
}

TEST_F(Cgroup, AFrozenOneIsNotWaitedFor) {
  if (!write_to(directory + "/cgroup.freeze", "1")) GTEST_SKIP() << "cgroups cannot be frozen here";
  EXPECT_EQ(run_in_cgroup(path, [] { return 0; }), -ETIMEDOUT);
  EXPECT_EQ(run_in_cgroup(path, [] { return 0; }, {.ends_here = true}), -ETIMEDOUT);
  ASSERT_TRUE(write_to(directory + "/cgroup.freeze", "0"));
  EXPECT_EQ(run_in_cgroup(path, [] { return 5; }), 5);
}

/// A call that its owner freezes as soon as it runs; nullopt: cgroups cannot be frozen here.
std::optional<int> run_and_freeze(const std::string& path, const std::string& directory,
                                  bool ends_here) {
  const Signal go;
  int looks = 0;
  bool frozen = true;
  const auto look = [&] {
    if (++looks == 1) frozen = write_to(directory + "/cgroup.freeze", "1");
    if (looks == 2 || !frozen) go.give();
    return false;
  };
  const auto call = [&] {
    go.wait();
    return 9;
  };
  const int result = run_in_cgroup(path, call, {patience, ends_here, look});
  EXPECT_TRUE(write_to(directory + "/cgroup.freeze", "0"));
  return frozen ? std::optional(result) : std::nullopt;
}

TEST_F(Cgroup, OneThatIsFrozenMeanwhileGivesTheResultAllTheSame) {
  const auto result = run_and_freeze(path, directory, /*ends_here=*/true);
  if (!result) GTEST_SKIP() << "cgroups cannot be frozen here";
  EXPECT_EQ(*result, 9);
}

TEST_F(Cgroup, OneThatIsFrozenMeanwhileEndsACallThatMayFail) {
  const auto began = std::chrono::steady_clock::now();
  const auto result = run_and_freeze(path, directory, /*ends_here=*/false);
  if (!result) GTEST_SKIP() << "cgroups cannot be frozen here";
  EXPECT_EQ(*result, -ETIMEDOUT);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
}

/// An owner who gives the call next to no processor.
TEST_F(Cgroup, OneThatHasNoProcessorIsLeftAfterTheLimit) {
  if (!write_to(directory + "/cpu.max", "1000 1000000")) {
    GTEST_SKIP() << "there is no cgroup whose processor can be limited";
  }
  const auto spin = [] {
    for (int i = 0; i < 400'000'000; ++i) asm volatile("");
    return 4;
  };
  EXPECT_EQ(run_in_cgroup(path, spin, {.limit_usec = 300'000, .ends_here = true}), 4);
  EXPECT_EQ(run_in_cgroup(path, sleep_for_ever, {.limit_usec = 300'000}), -ETIMEDOUT);
}

/// What takes so long is not its owner.
TEST_F(Cgroup, OneThatHasTheProcessorHasLonger) {
  const auto spin = [] {
    timespec began = {};
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC, &began);
    do {
      ::clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - began.tv_sec < 2);
    return 5;
  };
  const auto moved = calls_moved_here();
  EXPECT_EQ(run_in_cgroup(path, spin, {.limit_usec = 300'000}), 5);
  EXPECT_EQ(run_in_cgroup(path, spin, {.limit_usec = 300'000, .ends_here = true}), 5);
  EXPECT_EQ(calls_moved_here(), moved);
}

/// Makes clone3() answer what systemd's RestrictNamespaces= makes it answer.
bool forbid_clone3() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(Cgroup, IsEnteredAlsoWhereClone3IsForbidden) {
  const pid_t tester = ::fork();
  ASSERT_GE(tester, 0);
  if (tester == 0) {
    if (!forbid_clone3()) ::_exit(77);
    if (::syscall(SYS_clone3, nullptr, 0) != -1 || errno != ENOSYS) ::_exit(1);
    const int fd = run_in_cgroup(path, [this] {
      return is_in(name.c_str()) == 1 ? ::memfd_create("opened", MFD_CLOEXEC) : -ENOENT;
    });
    ::_exit(fd >= 0 && ::fcntl(fd, F_GETFD) >= 0 ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(tester, &status, 0), tester);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "seccomp is not there";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Cgroup, ManyThreadsMayUseItWhileOthersAllocate) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&stop] {
      while (!stop) {
        std::vector<std::string> memory(100, std::string(1000, 'x'));
        std::this_thread::yield();
      }
    });
  }
  std::atomic<int> right = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([this, &right, i] {
      for (int call = 0; call < 25; ++call) {
        if (run_in_cgroup(path, [i] { return i; }) == i) ++right;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 100);
}

/// A limit of memory for the call: of its cgroup, or of one of version 1 that it enters by itself.
class MemoryLimit {
 public:
  MemoryLimit(const std::string& cgroup2, const std::string& name, std::size_t bytes) {
    if (write_to(cgroup2 + "/memory.max", std::to_string(bytes))) {
      write_to(cgroup2 + "/memory.swap.max", "0");
      used_ = cgroup2 + "/memory.current";
      usable_ = true;
      return;
    }
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
      const std::size_t at = line.find(":memory:");
      if (at != std::string::npos) v1_ = "/sys/fs/cgroup/memory" + line.substr(at + 8) + "/" + name;
    }
    usable_ = !v1_.empty() && ::mkdir(v1_.c_str(), 0755) == 0 &&
              write_to(v1_ + "/memory.limit_in_bytes", std::to_string(bytes));
    used_ = v1_ + "/memory.usage_in_bytes";
    procs_.reset(::open((v1_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  }
  ~MemoryLimit() {
    for (int i = 0; !v1_.empty() && ::rmdir(v1_.c_str()) != 0 && i < 1000; ++i) ::usleep(10'000);
  }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

  [[nodiscard]] bool usable() const { return usable_; }
  /// What is charged there.
  [[nodiscard]] std::uint64_t used() const {
    std::ifstream file(used_);
    std::uint64_t bytes = 0;
    file >> bytes;
    return bytes;
  }
  /// From the call.
  [[nodiscard]] bool enter() const { return v1_.empty() || ::write(procs_.get(), "0", 1) == 1; }

 private:
  std::string v1_;
  std::string used_;
  UniqueFd procs_;
  bool usable_ = false;
};

/// Fills a memfd page by page, as preserving one with holes does. Plain system calls only.
int fill(int fd, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += 4096) {
    if (::pwrite(fd, "x", 1, static_cast<off_t>(at)) != 1) return -errno;
  }
  return 0;
}

TEST_F(Cgroup, ItsLimitOfMemoryIsKeptAndCostsTheCallOnly) {
  const MemoryLimit limit(directory, name, 16 * mebibyte);
  if (!limit.usable()) GTEST_SKIP() << "there is no cgroup whose memory can be limited";
  const UniqueFd memory(::memfd_create("filled", MFD_CLOEXEC));
  const auto fill_up = [&](std::size_t bytes) {
    return run_in_cgroup(path, [&limit, &memory, bytes] {
      return limit.enter() ? fill(memory.get(), bytes) : -errno;
    });
  };
  EXPECT_LT(limit.used(), 4 * mebibyte);
  EXPECT_EQ(fill_up(4 * mebibyte), 0);
  EXPECT_GE(limit.used(), 4 * mebibyte) << "the memory outlives the call, and is charged there";
  EXPECT_EQ(fill_up(64 * mebibyte), -ENOMEM);
  EXPECT_EQ(::ftruncate(memory.get(), 0), 0);
}

TEST(Process, HasNoDescriptorsUnlessTheyAreShared) {
  const UniqueFd fd(::memfd_create("open", MFD_CLOEXEC));
  const auto count_open = [] {
    int open = 0;
    for (int i = 0; i < 1000; ++i) open += ::fcntl(i, F_GETFD) >= 0 ? 1 : 0;
    return open;
  };
  auto process = Process::start({}, count_open);
  ASSERT_TRUE(process) << process.error().message;
  EXPECT_EQ(process->wait(patience), 0);
  auto sharing = Process::start({-1, true}, count_open);
  ASSERT_TRUE(sharing);
  EXPECT_GE(sharing->wait(patience).value_or(0), 3);
  EXPECT_GE(::fcntl(fd.get(), F_GETFD), 0);
}

TEST(Process, IsKilledWhenItsObjectGoesAndWaitedForLater) {
  {
    const auto process = Process::start({}, sleep_for_ever);
    ASSERT_TRUE(process);
    siginfo_t info = {};
    EXPECT_EQ(::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL), 0);
    EXPECT_EQ(info.si_pid, 0) << "it runs";
  }
  // Each start looks after what was left behind.
  for (int i = 0; i < 1000; ++i) {
    auto next = Process::start({}, [] { return 1; });
    ASSERT_TRUE(next);
    EXPECT_EQ(next->wait(patience), 1);
    EXPECT_EQ(next->wait(0), 1) << "the result stays";
    siginfo_t info = {};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0) {
      EXPECT_EQ(errno, ECHILD);
      return;
    }
    ::usleep(10'000);
  }
  ADD_FAILURE() << "a process is still there";
}

TEST(Process, CanBeKilled) {
  auto process = Process::start({}, sleep_for_ever);
  ASSERT_TRUE(process);
  EXPECT_EQ(process->wait(10'000), std::nullopt);
  process->kill();
  EXPECT_EQ(process->wait(patience), -ENOMEM);
}

TEST(CgroupRoom, IsTheLeastOfAllAbove) {
  const TemporaryDirectory root;
  const auto set = [&](const std::string& path, const char* most, const char* current) {
    root.write(path + "/memory.max", std::string(most) + "\n");
    root.write(path + "/memory.current", std::string(current) + "\n");
  };
  root.write("memory.current", "5\n");  // the root has no memory.max
  set("a", "1000", "400");
  set("a/b", "max", "300");
  set("a/b/c", "700", "50");
  set("a/full", "700", "701");
  root.write("a/bare/cgroup.procs", "");
  EXPECT_EQ(cgroup_room("/a/b/c", root.path()), 600U);
  EXPECT_EQ(cgroup_room("/a/b", root.path()), 600U);
  EXPECT_EQ(cgroup_room("/a/full", root.path()), 0U);
  EXPECT_EQ(cgroup_room("/a/bare", root.path()), 600U);
  EXPECT_EQ(cgroup_room("/missing", root.path()), std::nullopt);
  EXPECT_EQ(cgroup_room("/", root.path()), std::nullopt);
  EXPECT_EQ(cgroup_room("", root.path()), std::nullopt);
  EXPECT_EQ(cgroup_room("/a/../a", root.path()), std::nullopt);
}

}  // namespace
}  // namespace handover::system::test

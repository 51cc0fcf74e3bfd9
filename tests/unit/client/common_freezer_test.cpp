// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "common/command.h"
#include "common/file.h"
#include "common/freezer.h"

namespace handover::common {
namespace {

/// A process group of its own, killed and reaped in the end.
class Group {
 public:
  template <typename Body>
  explicit Group(const Body& body) : leader_(fork()) {
    if (leader_ == 0) {
      setpgid(0, 0);
      body();
      _exit(0);
    }
    setpgid(leader_, leader_);  // whoever of both comes first
  }
  ~Group() {
    kill(-leader_, SIGKILL);
    waitpid(leader_, nullptr, 0);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  [[nodiscard]] pid_t leader() const { return leader_; }

 private:
  pid_t leader_;
};

/// Waits in the kernel for what no signal but SIGKILL ends.
bool waits_deeply(pid_t process) {
  auto text = read_file("/proc/" + std::to_string(process) + "/stat");
  if (!text) return false;
  auto stat = parse_stat(*text);
  return stat && stat->state == 'D';
}

/// Asks until `done` says so, for at most a minute.
template <typename Done>
bool becomes_true(const Done& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  return true;
}

bool comes_to_a_standstill(Freezer& freezer, pid_t child) {
  return becomes_true([&] {
    auto still = freezer.is_still(child);
    EXPECT_TRUE(still) << still.error().message;
    return still && *still;
  });
}

/// Where posix_spawn(3) of a command's is caught by the stop: the child has not executed yet, and
/// its parent waits in the kernel until it has.
void spawn_and_stop_between() {
  // As vfork(2), with memory of its own; not by that name, of which sanitizers make a fork(2).
  const long child = syscall(SYS_clone, CLONE_VFORK | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (child == 0) {
    kill(getpid(), SIGSTOP);
    _exit(0);
  }
  for (;;) pause();
}

TEST(Freezer, StopsAlsoWhoIsInTheMiddleOfASpawn) {
  const Group group(spawn_and_stop_between);
  auto freezer = make_freezer({FreezeMethod::Kind::stop, 0, 0});
  ASSERT_TRUE(freezer);
  ASSERT_TRUE(becomes_true([&] { return waits_deeply(group.leader()); }));
  ASSERT_TRUE((*freezer)->freeze(group.leader()));
  EXPECT_TRUE(comes_to_a_standstill(**freezer, group.leader()));
  // And stays so.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  auto still = (*freezer)->is_still(group.leader());
  ASSERT_TRUE(still);
  EXPECT_TRUE(*still);
}

TEST(Freezer, StopsAgainAfterAThaw) {
  const Group group([] {
    for (;;) pause();
  });
  auto freezer = make_freezer({FreezeMethod::Kind::stop, 0, 0});
  ASSERT_TRUE(freezer);
  for (int time = 0; time < 3; ++time) {
    ASSERT_TRUE((*freezer)->freeze(group.leader()));
    EXPECT_TRUE(comes_to_a_standstill(**freezer, group.leader()));
    ASSERT_TRUE((*freezer)->thaw(group.leader()));
  }
}

TEST(Freezer, NamesWhomAStopOfTheGroupDoesNotReach) {
  int ready[2] = {-1, -1};
  ASSERT_EQ(pipe(ready), 0);
  const Group group([&] {
    close(ready[0]);
    if (fork() == 0) {  // stays
      for (;;) pause();
    }
    if (fork() == 0) {
      setsid();
      prctl(PR_SET_NAME, "one (gone)");
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const pid_t self = getpid();
      if (write(ready[1], &self, sizeof(self)) < 0) _exit(1);
      for (;;) pause();
    }
    for (;;) pause();
  });
  close(ready[1]);
  pid_t stray = 0;
  ASSERT_EQ(read(ready[0], &stray, sizeof(stray)), static_cast<ssize_t>(sizeof(stray)));
  close(ready[0]);
  for (const auto& method : {FreezeMethod{FreezeMethod::Kind::stop, 0, 0},
                             FreezeMethod{FreezeMethod::Kind::signal, SIGUSR1, 0}}) {
    auto freezer = make_freezer(method);
    ASSERT_TRUE(freezer);
    auto strays = (*freezer)->out_of_reach(group.leader());
    ASSERT_TRUE(strays) << strays.error().message;
    EXPECT_EQ(*strays, std::vector<std::string>{std::to_string(stray) + " (one (gone))"});
  }
}

/// D16: the person who stopped it is to let it go on.
TEST(Freezer, LeavesStoppedWhomSomebodyElseStopped) {
  const Group group([] {
    for (;;) pause();
  });
  const auto stopped = [&] {
    auto now = group_is_stopped(group.leader());
    return now && *now;
  };
  auto freezer = make_freezer({FreezeMethod::Kind::stop, 0, 0});
  ASSERT_TRUE(freezer);
  kill(-group.leader(), SIGSTOP);
  ASSERT_TRUE(becomes_true(stopped));
  ASSERT_TRUE((*freezer)->freeze(group.leader()));
  EXPECT_TRUE(comes_to_a_standstill(**freezer, group.leader()));
  ASSERT_TRUE((*freezer)->thaw(group.leader()));
  EXPECT_TRUE(stopped());
  // It goes on, and is then like any other.
  kill(-group.leader(), SIGCONT);
  ASSERT_TRUE(becomes_true([&] { return !stopped(); }));
  ASSERT_TRUE((*freezer)->freeze(group.leader()));
  EXPECT_TRUE(comes_to_a_standstill(**freezer, group.leader()));
  ASSERT_TRUE((*freezer)->thaw(group.leader()));
  EXPECT_TRUE(becomes_true([&] { return !stopped(); }));
}

/// It brings its memory into order all the same, and is then as it was found.
TEST(Freezer, LetsOneThatIsStoppedHandleTheSignal) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  sigset_t asked;
  sigset_t before;
  sigemptyset(&asked);
  sigaddset(&asked, SIGUSR1);
  // Before the process is there: it may be signalled at once.
  sigprocmask(SIG_BLOCK, &asked, &before);
  const Group group([&] {
    for (;;) {
      int signal = 0;
      sigwait(&asked, &signal);
      (void)!write(ends[1], "x", 1);
      raise(SIGSTOP);
    }
  });
  sigprocmask(SIG_SETMASK, &before, nullptr);
  close(ends[1]);
  const auto stopped = [&] {
    auto now = group_is_stopped(group.leader());
    return now && *now;
  };
  auto freezer = make_freezer({FreezeMethod::Kind::signal, SIGUSR1, 0});
  ASSERT_TRUE(freezer);
  kill(-group.leader(), SIGSTOP);
  ASSERT_TRUE(becomes_true(stopped));
  ASSERT_TRUE((*freezer)->freeze(group.leader()));
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 1) << "it did not handle the signal";
  close(ends[0]);
  EXPECT_TRUE(comes_to_a_standstill(**freezer, group.leader()));
  ASSERT_TRUE((*freezer)->thaw(group.leader()));
  EXPECT_FALSE((*freezer)->may_stop_late());
  EXPECT_TRUE(stopped());
}

}  // namespace
}  // namespace handover::common

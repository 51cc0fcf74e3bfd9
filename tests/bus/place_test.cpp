// SPDX-License-Identifier: LGPL-2.1-or-later
// Which service a process belongs to, from the kernel's words.
#include "bus/place.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace handover::test {
namespace {

using bus::Place;

TEST(PlaceOfAProcess, IsTheServiceBehindAllSlices) {
  struct {
    const char* text;
    Place place;
  } const cases[] = {
      {"0::/system.slice/x.service\n", {"/system.slice/x.service", "x.service"}},
      {"0::/system.slice/x.service/worker.service/1",
       {"/system.slice/x.service/worker.service/1", "x.service"}},
      {"0::/a.slice/a-b.slice/vm@1.service\n", {"/a.slice/a-b.slice/vm@1.service", "vm@1.service"}},
      {"0::/system.slice/_memory.x.service\n",
       {"/system.slice/_memory.x.service", "memory.x.service"}},
      // Whatever a user's own manager makes is below that.
      {"0::/user.slice/user-1.slice/user@1.service/app.slice/handover-x.service\n",
       {"/user.slice/user-1.slice/user@1.service/app.slice/handover-x.service", "user@1.service"}},
      {"0::/user.slice/user-1.slice/session-2.scope\n",
       {"/user.slice/user-1.slice/session-2.scope", ""}},
      {"0::/machine.slice/docker-1.scope/x.service\n",
       {"/machine.slice/docker-1.scope/x.service", ""}},
      {"0::/init.scope\n", {"/init.scope", ""}},
      {"0::/\n", {"/", ""}},
      {"0::/system.slice/.service\n", {"/system.slice/.service", ""}},
      // The group was removed, with the process in it.
      {"0::/system.slice/x.service (deleted)\n", {"", "x.service"}},
      // Where the controllers have hierarchies of their own.
      {"4:memory:/m\n1:name=systemd:/system.slice/x.service\n0::/\n", {"/", "x.service"}},
      {"4:memory:/m\n1:name=systemd:/system.slice/x.service\n", {"", "x.service"}},
  };
  for (const auto& [text, place] : cases) {
    const auto found = bus::place_from(text);
    ASSERT_TRUE(found) << text;
    EXPECT_EQ(found->cgroup, place.cgroup) << text;
    EXPECT_EQ(found->unit, place.unit) << text;
  }
}

TEST(PlaceOfAProcess, IsNotGuessed) {
  EXPECT_FALSE(bus::place_from(""));
  EXPECT_FALSE(bus::place_from("4:memory:/system.slice/x.service\n"));
}

TEST(PlaceOfAProcess, IsFoundByItsDescriptor) {
  const auto pidfd = bus::open_pidfd(getpid());
  ASSERT_TRUE(pidfd) << pidfd.error().message;
  const auto pid = bus::pid_of(*pidfd);
  ASSERT_TRUE(pid) << pid.error().message;
  EXPECT_EQ(*pid, getpid());
  EXPECT_TRUE(bus::place_of(*pid, *pidfd));
}

/// Its number may be another one's by the time somebody looks.
TEST(PlaceOfAProcess, IsUnknownOnceItHasEnded) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  const auto pidfd = bus::open_pidfd(child);
  ASSERT_TRUE(pidfd);
  siginfo_t ended{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  // Still a zombie: /proc has it.
  EXPECT_FALSE(bus::place_of(child, *pidfd));
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(bus::pid_of(*pidfd));
  const auto denied = bus::unknown_service(child, Error{ErrorCode::io, "it has ended", 0});
  EXPECT_EQ(denied.code, ErrorCode::access_denied);
}

}  // namespace
}  // namespace handover::test

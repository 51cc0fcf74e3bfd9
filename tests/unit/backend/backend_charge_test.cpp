// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls in the cgroup of the owner, who is charged for them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "backend/charge.h"
#include "backend/luo_device.h"
#include "descriptors.h"
#include "worlds.h"

namespace handover::backend::test {
namespace {

constexpr std::uint64_t mebibyte = UINT64_C(1) << 20;

/// Says where it was asked to run something, and runs it there: here.
struct RecordingRunIn {
  std::vector<std::string> asked;
  std::vector<Patience> patience;
  int refusal = 0;    ///< -errno: nothing can be run
  bool late = false;  ///< the call is made before

  RunIn run_in() {
    return
        [this](const std::string& cgroup, const std::function<int()>& call, const Patience& given) {
          asked.push_back(cgroup);
          patience.push_back(given);
          if (late) (void)call();
          return refusal != 0 ? refusal : call();
        };
  }
};

/// As the real one but for the cgroup: a child with our descriptors and a copy of our memory.
int run_in_child(const std::string& /*cgroup*/, const std::function<int()>& call,
                 const Patience& /*patience*/) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) < 0) return -errno;
  const UniqueFd reading(ends[0]);
  const UniqueFd writing(ends[1]);
  const auto child = static_cast<pid_t>(
      ::syscall(SYS_clone, CLONE_FILES | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (child < 0) return -errno;
  if (child == 0) {
    const int result = call();
    (void)!::write(ends[1], &result, sizeof(result));
    ::_exit(0);
  }
  int result = 0;
  const bool answered = ::read(reading.get(), &result, sizeof(result)) == sizeof(result);
  ::waitpid(child, nullptr, 0);
  return answered ? result : -ECHILD;
}

TEST(Charge, MakesCallsHereWithoutAnOwner) {
  RecordingRunIn recorder;
  const Charge charge(recorder.run_in());
  EXPECT_EQ(charge.run("", mebibyte, [] { return 7; }).result, 7);
  EXPECT_TRUE(recorder.asked.empty());
  const Charge nowhere;
  const auto done = nowhere.run("system.slice/x.service", mebibyte, [] { return -EBADF; });
  EXPECT_EQ(done.result, -EBADF);
  EXPECT_EQ(done.why_here, "") << "nobody could be charged";
}

TEST(Charge, TellsTheCallsErrnoFromThatOfTheChild) {
  RecordingRunIn recorder;
  const Charge charge(recorder.run_in());
  int calls = 0;
  const auto refused = charge.run("x", mebibyte, [&] {
    ++calls;
    return -ENOENT;
  });
  EXPECT_EQ(refused.result, -ENOENT);
  EXPECT_EQ(refused.why_here, "");
  EXPECT_EQ(calls, 1) << "made again here, it would be charged here";

  recorder.refusal = -ENOENT;
  const auto here = charge.run("x", mebibyte, [&] {
    ++calls;
    return 5;
  });
  EXPECT_EQ(here.result, 5);
  EXPECT_EQ(calls, 2);
  EXPECT_NE(here.why_here.find("cgroup x"), std::string::npos) << here.why_here;
  EXPECT_EQ(recorder.asked, (std::vector<std::string>{"x", "x"}));
}

TEST(Charge, HasADescriptorThatAChildOpened) {
  const Charge charge(run_in_child);
  const auto opened =
      charge.run("x", mebibyte, [] { return ::memfd_create("child's", MFD_CLOEXEC); });
  ASSERT_GE(opened.result, 0);
  EXPECT_EQ(opened.why_here, "");
  const UniqueFd fd(opened.result);
  EXPECT_EQ(::write(fd.get(), "x", 1), 1);
  EXPECT_EQ(charge.run("x", mebibyte, [] { return -EDQUOT; }).result, -EDQUOT);
}

TEST(Charge, CanMakeTheDevicesCallsInAChild) {
  const auto device = open_luo_device("/dev/null");
  const Charge charge(run_in_child);
  const UniqueFd memory = memfd();
  for (const auto& call : std::vector<std::function<int()>>{
           [&] { return device->preserve_fd(memory.get(), 1, memory.get()); },
           [&] { return device->retrieve_fd(memory.get(), 1); }}) {
    const auto done = charge.run("x", mebibyte, call);
    EXPECT_EQ(done.result, -ENOTTY);
    EXPECT_EQ(done.why_here, "") << "it was the device that answered";
  }
}

/// Only "small" has a limit.
RoomIn room(std::uint64_t bytes) {
  return [bytes](const std::string& cgroup) {
    return cgroup == "small" ? std::optional(bytes) : std::nullopt;
  };
}

TEST(Charge, TakesNoRiskWhereThereIsNoRoom) {
  RecordingRunIn recorder;
  const Charge charge(recorder.run_in(), room(60 * mebibyte));
  EXPECT_EQ(charge.run_if_room("small", 50 * mebibyte, [] { return 1; }).why_here, "");
  EXPECT_EQ(recorder.asked.size(), 1U);
  const auto here = charge.run_if_room("small", 60 * mebibyte, [] { return 2; });
  EXPECT_EQ(here.result, 2);
  EXPECT_FALSE(here.charged);
  EXPECT_NE(here.why_here.find("memory.max"), std::string::npos) << here.why_here;
  EXPECT_EQ(recorder.asked.size(), 1U) << "the kernel needs more than the pages";
  EXPECT_EQ(charge.run_if_room("", 60 * mebibyte, [] { return 3; }).why_here, "");
  EXPECT_TRUE(charge.run_if_room("unlimited", 60 * mebibyte, [] { return 4; }).charged);
}

TEST(Charge, LeavesAnOwnerWithinItsLimit) {
  RecordingRunIn recorder;
  recorder.refusal = -ENOMEM;  // the out-of-memory killer's work
  const Charge charge(recorder.run_in());
  int calls = 0;
  const auto call = [&] { return ++calls; };
  const auto refused = charge.run("small", mebibyte, call);
  EXPECT_EQ(refused.result, -ENOMEM);
  EXPECT_TRUE(refused.charged);
  EXPECT_EQ(calls, 0);
  const auto here = charge.run_if_room("small", mebibyte, call);
  EXPECT_EQ(here.result, 1) << "a retrieve is worth more";
  EXPECT_NE(here.why_here, "");
}

/// Whoever freezes his cgroup would have us pay.
TEST(Charge, DoesNotPayForAnOwnerWhoStopsTheCall) {
  for (const int stopped : {-ETIMEDOUT, -EINPROGRESS}) {
    RecordingRunIn recorder;
    recorder.refusal = stopped;
    const Charge charge(recorder.run_in());
    int calls = 0;
    const auto call = [&] { return ++calls; };
    const auto refused = charge.run("frozen", mebibyte, call);
    EXPECT_EQ(refused.result, stopped);
    EXPECT_TRUE(refused.charged);
    EXPECT_EQ(calls, 0);
    EXPECT_EQ(charge.run_if_room("frozen", mebibyte, call).result, 1) << "a retrieve is worth more";
  }
}

TEST(Charge, WaitsForACallAsLongAsItMayTake) {
  RecordingRunIn recorder;
  const Charge charge(recorder.run_in());
  constexpr std::uint64_t tebibyte = UINT64_C(1) << 40;
  for (const auto bytes : {mebibyte, tebibyte}) {
    EXPECT_EQ(charge.run("x", bytes, [] { return 1; }).result, 1);
    EXPECT_EQ(charge.run_if_room("x", bytes, [] { return 1; }).result, 1);
  }
  ASSERT_EQ(recorder.patience.size(), 4U);
  EXPECT_FALSE(recorder.patience[0].ends_here);
  EXPECT_TRUE(recorder.patience[1].ends_here) << "what is half retrieved is lost";
  EXPECT_LT(recorder.patience[0].limit_usec, UINT64_C(15'000'000));
  EXPECT_GT(recorder.patience[2].limit_usec, UINT64_C(3'600'000'000));
}

TEST(Charge, MakesSmallCallsHere) {
  RecordingRunIn recorder;
  const Charge charge(recorder.run_in());
  EXPECT_EQ(charge.run("x", mebibyte - 1, [] { return 7; }).result, 7);
  const auto here = charge.run_if_room("x", mebibyte - 1, [] { return 8; });
  EXPECT_EQ(here.result, 8);
  EXPECT_FALSE(here.charged);
  EXPECT_EQ(here.why_here, "") << "nothing to tell of";
  EXPECT_TRUE(recorder.asked.empty());
}

// ---- luo's sessions

/// Worth a process of its own.
UniqueFd large_memfd(const std::string& text) {
  UniqueFd fd = memfd(text);
  EXPECT_EQ(::ftruncate(fd.get(), mebibyte), 0);
  return fd;
}

TEST(ChargedLuo, PreservesAndRetrievesInTheOwnersCgroup) {
  RecordingRunIn recorder;
  LuoWorld world(short_patience(), Charge(recorder.run_in()));
  auto session = world.create("s");
  ASSERT_TRUE(session->preserve(1, large_memfd("kept").get(), std::nullopt, "x.slice/owner"));
  EXPECT_EQ(recorder.asked, std::vector<std::string>{"x.slice/owner"});
  ASSERT_TRUE(session->preserve_again(nullptr));
  EXPECT_EQ(recorder.asked.size(), 1U) << "the pages are there and charged already";
  session = world.update_one(std::move(session));
  const auto retrieved = session->retrieve(1, "x.slice/owner");
  ASSERT_TRUE(retrieved);
  EXPECT_TRUE(contents(retrieved->fd.get()).starts_with("kept"));
  EXPECT_EQ(retrieved->warning, "");
  EXPECT_EQ(recorder.asked.size(), 2U);
}

TEST(ChargedLuo, TellsOfWhatIsChargedToTheDaemon) {
  RecordingRunIn recorder;
  recorder.refusal = -ENOENT;
  LuoWorld world(short_patience(), Charge(recorder.run_in()));
  auto session = world.create("s");
  const auto preserved = session->preserve(1, large_memfd("kept").get(), std::nullopt, "gone");
  ASSERT_TRUE(preserved) << preserved.error().message;
  EXPECT_NE(preserved->warning.find("cgroup gone"), std::string::npos) << preserved->warning;
  session = world.update_one(std::move(session));
  const auto retrieved = session->retrieve(1, "gone");
  ASSERT_TRUE(retrieved) << retrieved.error().message;
  EXPECT_TRUE(contents(retrieved->fd.get()).starts_with("kept"));
  EXPECT_NE(retrieved->warning.find("token 1 of session \"s\""), std::string::npos);
  EXPECT_NE(retrieved->warning.find("cgroup gone"), std::string::npos) << retrieved->warning;
}

TEST(ChargedLuo, SaysWhoseLimitItWas) {
  RecordingRunIn recorder;
  LuoWorld world(short_patience(), Charge(recorder.run_in()));
  auto session = world.create("s");
  world.kernel().faults().fail_call(1, ENOMEM);
  const auto refused = session->preserve(1, large_memfd("").get(), std::nullopt, "small");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().nature, Nature::passing);
  EXPECT_NE(refused.error().message.find("cgroup small"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(recorder.asked.size(), 1U) << "not tried here: the limit is the owner's";
}

TEST(ChargedLuo, SaysWhoStoppedIt) {
  RecordingRunIn recorder;
  recorder.refusal = -ETIMEDOUT;
  LuoWorld world(short_patience(), Charge(recorder.run_in()));
  auto session = world.create("s");
  const auto memory = large_memfd("");
  const auto refused = session->preserve(1, memory.get(), std::nullopt, "frozen");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_EQ(refused.error().nature, Nature::passing);
  EXPECT_NE(refused.error().message.find("cgroup frozen"), std::string::npos)
      << refused.error().message;
  recorder.refusal = 0;
  EXPECT_TRUE(session->preserve(1, memory.get(), std::nullopt, "frozen"));
}

/// Killed when the kernel was ready, it cannot say so.
TEST(ChargedLuo, FindsOutThatAStoppedCallHadItsEffect) {
  for (const int stopped : {-ETIMEDOUT, -ENOMEM}) {
    RecordingRunIn recorder;
    recorder.refusal = stopped;
    recorder.late = true;
    LuoWorld world(short_patience(), Charge(recorder.run_in()));
    auto session = world.create("s");
    const auto preserved = session->preserve(1, large_memfd("kept").get(), std::nullopt, "frozen");
    ASSERT_TRUE(preserved) << preserved.error().message;
    recorder.late = false;
    session = world.update_one(std::move(session));
    const auto retrieved = session->retrieve(1, "frozen");
    ASSERT_TRUE(retrieved) << retrieved.error().message;
    EXPECT_TRUE(contents(retrieved->fd.get()).starts_with("kept"));
  }
}

TEST(ChargedLuo, RetrievesHereWhatTheOwnerHasNoRoomFor) {
  RecordingRunIn recorder;
  LuoWorld world(short_patience(), Charge(recorder.run_in(), room(4 * mebibyte)));
  auto session = world.create("s");
  const UniqueFd large(::memfd_create("large", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(large.get(), 16 * mebibyte), 0);
  ASSERT_TRUE(session->preserve(1, large.get(), std::nullopt, "small")) << "the owner's own matter";
  session = world.update_one(std::move(session));
  recorder.asked.clear();
  const auto retrieved = session->retrieve(1, "small");
  ASSERT_TRUE(retrieved) << "what fails once fails for ever";
  EXPECT_TRUE(recorder.asked.empty());
  EXPECT_NE(retrieved->warning.find("memory.max"), std::string::npos) << retrieved->warning;
}

}  // namespace
}  // namespace handover::backend::test

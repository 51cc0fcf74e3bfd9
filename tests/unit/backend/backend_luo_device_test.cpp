// SPDX-License-Identifier: LGPL-2.1-or-later
// /dev/liveupdate: who has it open, how long somebody waits for it, and what its answers mean.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <chrono>
#include <thread>
#include <vector>

#include "backend/luo_calls.h"
#include "backend/luo_device.h"
#include "descriptors.h"
#include "fake_liveupdate.h"

namespace handover::backend::test {
namespace {

TEST(Retry, EndsWithThePatienceForThatErrno) {
  using std::chrono::milliseconds;
  Retry patient({{EBUSY, std::chrono::minutes(1)}, {EEXIST, milliseconds(0)}});
  EXPECT_TRUE(patient.again(EBUSY));
  EXPECT_TRUE(patient.again(EBUSY));
  EXPECT_FALSE(patient.again(EEXIST));
  EXPECT_FALSE(patient.again(EIO));

  Retry impatient({{EBUSY, milliseconds(0)}});
  EXPECT_FALSE(impatient.again(EBUSY)) << "and it has not waited";

  Retry short_lived({{EBUSY, milliseconds(2000)}});
  int calls = 0;
  while (short_lived.again(EBUSY)) ++calls;
  EXPECT_GT(calls, 1);
}

/// A device that is /dev/null, and counts how often it is opened.
struct CountedDevice {
  int opened = 0;
  bool busy = false;
  std::shared_ptr<LuoDevice> device = open_luo_device([this] {
    if (busy) {
      errno = EBUSY;
      return -1;
    }
    ++opened;
    return ::open("/dev/null", O_RDWR | O_CLOEXEC);
  });
};

TEST(LuoDeviceTest, OpensItOnceForThoseWhoHoldIt) {
  CountedDevice counted;
  (void)counted.device->create_session("s");
  (void)counted.device->retrieve_session("s");
  EXPECT_EQ(counted.opened, 2) << "for the moment of a call each";

  auto first = counted.device->hold();
  EXPECT_EQ(counted.opened, 3);
  auto second = counted.device->hold();
  first.reset();
  counted.busy = true;  // nobody can come between
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(counted.device->retrieve_session("s").error(), ENOTTY);
    EXPECT_TRUE(counted.device->open());
  }
  EXPECT_EQ(counted.opened, 3);
  second.reset();
  EXPECT_EQ(counted.device->retrieve_session("s").error(), EBUSY) << "it was closed";
}

TEST(LuoDeviceTest, OpensItLaterForThoseWhoHoldIt) {
  CountedDevice counted;
  counted.busy = true;
  const auto held = counted.device->hold();
  EXPECT_EQ(counted.device->open().error(), EBUSY);
  EXPECT_EQ(counted.device->create_session("s").error(), EBUSY);
  counted.busy = false;
  EXPECT_EQ(counted.device->create_session("s").error(), ENOTTY);
  EXPECT_TRUE(counted.device->open());
  EXPECT_EQ(counted.opened, 1);
}

TEST(LuoDeviceTest, IsNotBusyForItsOwnThreads) {
  const UniqueFd memory = memfd();
  const std::string path = "/proc/self/fd/" + std::to_string(memory.get());
  // As the kernel's: only one open file description at a time.
  const auto device = open_luo_device([&path] {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
      errno = EBUSY;
      return -1;
    }
    return fd.release();
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&device] {
      for (int call = 0; call < 500; ++call) {
        EXPECT_EQ(device->create_session("s").error(), ENOTTY);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(LuoDeviceTest, TellsIncomingFromWhatCannotBeTold) {
  FakeLiveupdate kernel;
  const auto session = kernel.create_session("s");
  ASSERT_TRUE(session);
  EXPECT_EQ(is_incoming(kernel, session->get()).value_or(true), false);
  kernel.faults().fail_call(1, ENOMEM);
  EXPECT_EQ(is_incoming(kernel, session->get()).error(), ENOMEM);
  kernel.reboot();
  const auto incoming = kernel.retrieve_session("s");
  ASSERT_TRUE(incoming);
  EXPECT_EQ(is_incoming(kernel, incoming->get()).value_or(false), true);
}

TEST(LuoDeviceTest, PassesOnWhatADeviceThatIsNoneAnswers) {
  const auto device = open_luo_device("/dev/null");
  EXPECT_EQ(device->create_session("s").error(), ENOTTY);
  EXPECT_EQ(device->retrieve_session("s").error(), ENOTTY);
  EXPECT_EQ(device->create_session(std::string(64, 'x')).error(), ENAMETOOLONG);
  const UniqueFd memory = memfd();
  EXPECT_EQ(device->session_name(memory.get()).error(), ENOTTY);
  EXPECT_EQ(device->preserve_fd(memory.get(), 1, memory.get()), -ENOTTY);
  EXPECT_EQ(device->retrieve_fd(memory.get(), 1), -ENOTTY);
  EXPECT_EQ(device->finish(memory.get()).error(), ENOTTY);
  EXPECT_EQ(open_luo_device("/nonexistent")->create_session("s").error(), ENOENT);
}

}  // namespace
}  // namespace handover::backend::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// The service manager's protocol, with a socket that receives as systemd does.
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include "support/notify_socket.h"
#include "support/temporary_directory.h"
#include "system/files.h"
#include "system/loop.h"
#include "system/notify.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;
namespace {

std::set<std::string> lines(const std::string& text) {
  std::set<std::string> result;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    result.insert(text.substr(at, end - at));
    at = end + 1;
  }
  return result;
}

/// A process of a service manager: NOTIFY_SOCKET says where it listens.
class Notify : public testing::Test {
 protected:
  Notify() { ::setenv("NOTIFY_SOCKET", directory_.path("notify").c_str(), 1); }
  ~Notify() override { ::unsetenv("NOTIFY_SOCKET"); }

  using Notification = handover::test::NotifySocket::Notification;
  /// The next one that was sent; an empty one if there is none.
  Notification receive() { return socket_->receive().value_or(Notification{}); }
  /// As a manager does that is started anew.
  void open_again() {
    socket_.reset();
    ::unlink(directory_.path("notify").c_str());
    socket_.emplace(directory_.path("notify"));
  }

 private:
  TemporaryDirectory directory_;
  std::optional<handover::test::NotifySocket> socket_{std::in_place, directory_.path("notify")};
};

TEST_F(Notify, TellsStateAndStatusInOneLineEach) {
  notify_ready("3 sessions");
  EXPECT_EQ(lines(receive().text), (std::set<std::string>{"READY=1", "STATUS=3 sessions"}));
  notify_status("frozen\nFDSTOREREMOVE=1");
  EXPECT_EQ(lines(receive().text), (std::set<std::string>{"STATUS=frozen FDSTOREREMOVE=1"}))
      << "a status must not smuggle a field in";
  notify_status(std::string(100'000, 'x') + "\xff");
  EXPECT_LT(receive().text.size(), 4096U) << "systemd ignores what is longer";
}

TEST_F(Notify, KeepsDescriptors) {
  const UniqueFd memory = memfd_with("m", "kept").value();
  ASSERT_TRUE(store_fd("session-12-t5", memory.get()));
  const auto stored = receive();
  EXPECT_EQ(lines(stored.text),
            (std::set<std::string>{"FDSTORE=1", "FDNAME=session-12-t5", "FDPOLL=0"}));
  ASSERT_EQ(stored.fds.size(), 1U);
  EXPECT_EQ(read_fd(stored.fds[0].get(), 100), "kept");

  ASSERT_TRUE(forget_fd("session-12-t5"));
  const auto forgotten = receive();
  EXPECT_EQ(lines(forgotten.text),
            (std::set<std::string>{"FDSTOREREMOVE=1", "FDNAME=session-12-t5"}));
  EXPECT_TRUE(forgotten.fds.empty());
}

/// The socket is kept open, and leads to a manager that has gone.
TEST_F(Notify, FindsAManagerThatHasMadeItsSocketAnew) {
  notify_status("first");
  EXPECT_EQ(receive().text, "STATUS=first");
  open_again();
  notify_status("second");
  EXPECT_EQ(receive().text, "STATUS=second");
}

TEST_F(Notify, RefusesNamesThatTheStoreWouldMisread) {
  const UniqueFd memory = memfd_with("m", "").value();
  for (const std::string& name : {std::string(), std::string("a:b"), std::string("a\nREADY=1"),
                                  std::string("\xc3\xa4"), std::string(256, 'a')}) {
    const auto stored = store_fd(name, memory.get());
    ASSERT_FALSE(stored) << name;
    EXPECT_EQ(stored.error().code, ErrorCode::invalid_argument);
    EXPECT_FALSE(forget_fd(name)) << name;
  }
  EXPECT_EQ(receive().text, "");
}

TEST(NotifyNobody, DoesNothingWithoutAServiceManager) {
  ::unsetenv("NOTIFY_SOCKET");
  const UniqueFd memory = memfd_with("m", "").value();
  notify_ready("alone");
  notify_status("alone");
  EXPECT_TRUE(store_fd("name", memory.get()));
  EXPECT_TRUE(forget_fd("name"));
  EXPECT_TRUE(notify_barrier(1000));
}

TEST(NotifyNobody, SaysWhenTheServiceManagerIsGone) {
  ::setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
  const UniqueFd memory = memfd_with("m", "").value();
  const auto stored = store_fd("name", memory.get());
  const auto waited = notify_barrier(1000);
  ::unsetenv("NOTIFY_SOCKET");
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, ErrorCode::io);
  EXPECT_NE(stored.error().sys_errno, 0);
  EXPECT_FALSE(waited);
}

TEST_F(Notify, TellsOfStoppingAndOfMoreTime) {
  notify_stopping("thawing");
  EXPECT_EQ(lines(receive().text), (std::set<std::string>{"STOPPING=1", "STATUS=thawing"}));
  notify_extend_timeout(90'000'000);
  EXPECT_EQ(receive().text, "EXTEND_TIMEOUT_USEC=90000000");
  notify_watchdog();
  EXPECT_EQ(receive().text, "WATCHDOG=1");
  EXPECT_TRUE(notify_again());
  EXPECT_EQ(receive().text, "");
}

TEST_F(Notify, NeverWaitsForAManagerThatDoesNotRead) {
  // Until the manager's socket takes no more (net.unix.max_dgram_qlen).
  int taken = 0;
  while (notify_again() && taken < 100'000) notify_status("status " + std::to_string(taken++));
  ASSERT_FALSE(notify_again());
  for (int i = 0; i < 100; ++i) notify_status("newest " + std::to_string(i));
  notify_watchdog();
  notify_ready("ready");
  notify_status("after");
  const auto barrier = notify_barrier_fd();
  ASSERT_FALSE(barrier);
  EXPECT_EQ(barrier.error().sys_errno, EAGAIN);
  const UniqueFd memory = memfd_with("m", "").value();
  const auto stored = store_fd("name", memory.get(), 20'000);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().sys_errno, ETIMEDOUT);

  while (!receive().text.empty()) {
  }
  EXPECT_TRUE(notify_again());
  EXPECT_EQ(lines(receive().text), (std::set<std::string>{"READY=1", "STATUS=ready"}));
  EXPECT_EQ(receive().text, "STATUS=after") << "the newest status comes last";
  EXPECT_EQ(receive().text, "WATCHDOG=1");
  EXPECT_EQ(receive().text, "") << "and no older one at all";
}

TEST_F(Notify, StoringWaitsForRoom) {
  int taken = 0;
  while (notify_again() && taken < 100'000) notify_status("status " + std::to_string(taken++));
  std::thread reading([&] {
    ::usleep(50'000);
    for (int i = 0; i < taken - 1; ++i) receive();  // the last one was kept
  });
  const UniqueFd memory = memfd_with("m", "").value();
  EXPECT_TRUE(store_fd("name", memory.get(), 60'000'000));
  reading.join();
  notify_again();
  std::string all;
  for (auto one = receive(); !one.text.empty(); one = receive()) all += one.text + "\n";
  EXPECT_NE(all.find("FDNAME=name"), std::string::npos) << all;
}

TEST_F(Notify, TheLoopTellsAgain) {
  int taken = 0;
  while (notify_again() && taken < 100'000) notify_status("status " + std::to_string(taken++));
  notify_ready("at last");
  Loop loop;
  std::string seen;
  std::function<void()> read_all = [&] {
    for (auto one = receive(); !one.text.empty(); one = receive()) seen += one.text + "\n";
    if (seen.find("READY=1") != std::string::npos) loop.exit(0);
  };
  Timer timer;
  std::function<void()> again = [&] {
    read_all();
    timer = loop.after(200'000, again);  // the loop sleeps longer than it waits to tell again
  };
  timer = loop.after(0, again);
  const Timer limit = loop.after(60'000'000, [&] { loop.exit(1); });
  EXPECT_EQ(loop.run(), 0) << seen;
}

TEST_F(Notify, TheLoopFeedsTheWatchdog) {
  ::setenv("WATCHDOG_USEC", "60000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  Loop loop;
  ASSERT_TRUE(loop.feed_watchdog());
  int fed = 0;
  Timer timer;
  std::function<void()> look = [&] {
    while (receive().text == "WATCHDOG=1") ++fed;
    if (fed >= 4) return loop.exit(0);
    timer = loop.after(5'000, look);
  };
  timer = loop.after(0, look);
  const Timer limit = loop.after(60'000'000, [&] { loop.exit(1); });
  EXPECT_EQ(loop.run(), 0);
  ::unsetenv("WATCHDOG_USEC");
  EXPECT_TRUE(loop.feed_watchdog()) << "nobody asks for it";
  ::setenv("WATCHDOG_USEC", "garbage", 1);
  EXPECT_FALSE(loop.feed_watchdog());
  ::unsetenv("WATCHDOG_USEC");
  ::unsetenv("WATCHDOG_PID");
}

TEST_F(Notify, TheBarrierIsAPipeThatHangsUp) {
  notify_status("before");
  const auto barrier = notify_barrier_fd();
  ASSERT_TRUE(barrier) << barrier.error().message;
  const auto hung_up = [&] {
    pollfd one = {barrier->get(), 0, 0};
    return ::poll(&one, 1, 0) == 1 && (one.revents & POLLHUP) != 0;
  };
  EXPECT_FALSE(hung_up());
  EXPECT_EQ(receive().text, "STATUS=before");
  {
    const auto asked = receive();
    EXPECT_EQ(asked.text, "BARRIER=1");
    EXPECT_EQ(asked.fds.size(), 1U);
    EXPECT_FALSE(hung_up());
  }
  EXPECT_TRUE(hung_up());
}

TEST(NotifyNobody, HasNoBarrierToWaitFor) {
  ::unsetenv("NOTIFY_SOCKET");
  const auto barrier = notify_barrier_fd();
  ASSERT_TRUE(barrier);
  pollfd one = {barrier->get(), 0, 0};
  EXPECT_EQ(::poll(&one, 1, 0), 1);
}

TEST(NotifyNobody, AnAbstractSocketIsAnAddressToo) {
  const std::string name = "handoverd-test-" + std::to_string(::getpid());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, sizeof(address.sun_path) - 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  notify_status("abstract");
  ::unsetenv("NOTIFY_SOCKET");
  char text[100] = {};
  EXPECT_GT(::recv(socket.get(), text, sizeof(text) - 1, MSG_DONTWAIT), 0);
  EXPECT_STREQ(text, "STATUS=abstract");
}

TEST_F(Notify, KnowsHowMuchTheFdStoreTakes) {
  ::setenv("FDSTORE", "17", 1);
  EXPECT_EQ(fd_store_limit(), 17U);
  for (const char* text : {"", "many", "17 "}) {
    ::setenv("FDSTORE", text, 1);
    EXPECT_EQ(fd_store_limit(), unit_fd_store_limit) << text;
  }
  ::unsetenv("FDSTORE");
  EXPECT_EQ(fd_store_limit(), unit_fd_store_limit) << "systemd before 254 does not say";
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(fd_store_limit(), std::nullopt);

  std::ifstream file(std::string(HANDOVER_SOURCE_DIR) + "/units/handoverd.service.in");
  std::stringstream unit;
  unit << file.rdbuf();
  EXPECT_NE(
      unit.str().find("\nFileDescriptorStoreMax=" + std::to_string(unit_fd_store_limit) + "\n"),
      std::string::npos);
}

TEST_F(Notify, WaitsAtTheBarrierUntilAllIsHandled) {
  std::thread handling([&]() {
    // The barrier's descriptor is closed once everything before it was handled (sd_notify(3)).
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (std::chrono::steady_clock::now() < deadline) {
      const auto notification = receive();
      if (notification.text == "BARRIER=1") return;
      ::usleep(1000);
    }
  });
  EXPECT_TRUE(notify_barrier(60'000'000));
  handling.join();
  const auto unanswered = notify_barrier(10'000);
  ASSERT_FALSE(unanswered);
  EXPECT_EQ(unanswered.error().sys_errno, ETIMEDOUT);
}

TEST(NotifyNobody, TakesNothingThatWasMeantForAnother) {
  ::setenv("LISTEN_PID", "1", 1);
  ::setenv("LISTEN_FDS", "1", 1);
  EXPECT_TRUE(take_listen_fds().empty());
  EXPECT_EQ(::getenv("LISTEN_FDS"), nullptr) << "it must not reach a child either";
}

}  // namespace
}  // namespace handover::system::test

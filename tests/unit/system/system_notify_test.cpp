// SPDX-License-Identifier: LGPL-2.1-or-later
// The service manager's protocol, with a socket that receives as systemd does.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "support/notify_socket.h"
#include "support/temporary_directory.h"
#include "system/files.h"
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
  Notification receive() { return socket_.receive().value_or(Notification{}); }

 private:
  TemporaryDirectory directory_;
  handover::test::NotifySocket socket_{directory_.path("notify")};
};

TEST_F(Notify, TellsStateAndStatusInOneLineEach) {
  notify_ready("3 sessions");
  EXPECT_EQ(lines(receive().text), (std::set<std::string>{"READY=1", "STATUS=3 sessions"}));
  notify_status("frozen\nFDSTOREREMOVE=1");
  EXPECT_EQ(lines(receive().text), (std::set<std::string>{"STATUS=frozen FDSTOREREMOVE=1"}))
      << "a status must not smuggle a field in";
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

// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cerrno>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "common/restart_socket.h"
#include "support/temporary_directory.h"

namespace handover::common {
namespace {

class RestartSocketTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_GE(sd_event_new(&event_), 0); }
  void TearDown() override { sd_event_unref(event_); }

  /// What a request at the socket is answered; who sees it sets `asked`.
  client::Result<void> ask(std::optional<RestartSocket>& socket, const bool& asked) {
    client::Result<void> outcome;
    std::thread asks([&] { outcome = request_restart(directory_.path("sockets"), "guest"); });
    constexpr std::uint64_t minute = 60'000'000;
    while (!asked && sd_event_run(event_, minute) > 0) {
    }
    EXPECT_TRUE(asked);
    socket.reset();  // who was not seen does not wait for ever
    asks.join();
    return outcome;
  }
  /// What `handover-… restart guest` is answered, if the one that runs says `failure` ("": well).
  client::Result<void> answered(const std::string& failure) {
    std::optional<RestartSocket> socket(std::in_place);
    bool asked = false;
    auto opened = socket->open(event_, directory_.path("sockets"), "guest", [&](auto request) {
      asked = true;
      request.answer(failure);
    });
    EXPECT_TRUE(opened) << opened.error().message;
    return ask(socket, asked);
  }

  handover::test::TemporaryDirectory directory_;
  sd_event* event_ = nullptr;
};

TEST_F(RestartSocketTest, AnswersAreHandedOn) {
  EXPECT_TRUE(answered(""));
  const auto refused = answered("The guest 'guest' does not run now.");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "The guest 'guest' does not run now.");
  EXPECT_EQ(refused.error().code, EBUSY);
}

/// As much as is of use to a person: the whole is in the log.
TEST_F(RestartSocketTest, ALongAnswerIsCut) {
  const auto refused = answered(std::string(5000, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, std::string(1024, 'x'));
}

TEST_F(RestartSocketTest, APathThatNoSocketCanHaveIsNamed) {
  const auto longest = directory_.path(std::string(120, 'd'));
  RestartSocket socket;
  const auto opened = socket.open(event_, longest, "guest", [](auto) {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ENAMETOOLONG);
  EXPECT_NE(opened.error().message.find(longest), std::string::npos);
  const auto asked = request_restart(longest, "guest");
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, ENAMETOOLONG);
}

TEST_F(RestartSocketTest, WhoEndsUnderTheRequestIsNamed) {
  std::optional<RestartSocket> socket(std::in_place);
  bool asked = false;
  ASSERT_TRUE(socket->open(event_, directory_.path("sockets"), "guest",
                           [&](RestartRequest) { asked = true; }));  // given up with it
  const auto outcome = ask(socket, asked);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, EPIPE);
}

}  // namespace
}  // namespace handover::common

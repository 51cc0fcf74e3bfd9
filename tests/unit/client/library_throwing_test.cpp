// SPDX-License-Identifier: LGPL-2.1-or-later
// The C++ face where a callback destroys what calls it, or throws.
#include <stdexcept>
#include <vector>

#include "library_fixture.h"

namespace handover::client {
namespace {

class LibraryCallback : public Library {
 protected:
  void SetUp() override {
    Library::SetUp();
    daemon_->start("new");
    exception_handler = [this](const std::exception_ptr& thrown) {
      thrown_.push_back(detail::what(thrown));
    };
  }
  void TearDown() override { exception_handler = nullptr; }

  std::vector<std::string> thrown_;
};

/// Everything that the lambda holds went with it, while it ran.
TEST_F(LibraryCallback, MayDestroyItsClient) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::optional<Client> client;
  std::string told;
  Client::Callbacks callbacks;
  callbacks.prepare = [&client, &told, held = std::string(100, 'x')](Call call) {
    client.reset();
    told = held;
    call.done();
  };
  auto made = Client::register_client(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(made);
  client.emplace(std::move(*made));
  const auto answer = answer_to(*connection, "Prepare");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "");
  EXPECT_EQ(told, std::string(100, 'x'));
}

TEST_F(LibraryCallback, MayDestroyItsClientWhenTheDaemonIsGone) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::optional<Client> client;
  std::string told;
  Client::Callbacks callbacks;
  callbacks.disconnected = [&client, &told, held = std::string(100, 'x')](const Error&) {
    client.reset();
    told = held;
  };
  auto made = Client::register_client(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(made);
  client.emplace(std::move(*made));
  daemon_->stop();
  ASSERT_TRUE(run(*connection, [&] { return !client; }));
  EXPECT_EQ(told, std::string(100, 'x'));
}

TEST_F(LibraryCallback, ThatThrowsFailsItsCall) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  Client::Callbacks callbacks;
  callbacks.prepare = [](const Call&) { throw std::runtime_error("no room for the index"); };
  callbacks.freeze = [](const Call&) { throw 7; };
  callbacks.thaw = [](Call call) {
    call.done();
    throw std::runtime_error("behind the answer");
  };
  auto client = Client::register_client(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  auto answer = answer_to(*connection, "Prepare");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "org.handover1.Error.Vetoed");
  EXPECT_EQ(answer->message, "The client's callback failed: no room for the index");
  answer = answer_to(*connection, "Freeze");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->message, "The client's callback failed: not an std::exception");
  answer = answer_to(*connection, "Thaw");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "");
  EXPECT_EQ(thrown_, (std::vector<std::string>{"no room for the index", "not an std::exception",
                                               "behind the answer"}));
}

/// It is answered by whoever keeps it.
TEST_F(LibraryCallback, ThatThrowsLeavesACallThatIsKept) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::optional<Call> kept;
  Client::Callbacks callbacks;
  callbacks.freeze = [&](Call call) {
    kept.emplace(std::move(call));
    throw std::runtime_error("later");
  };
  auto client = Client::register_client(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  daemon_->call_client("Freeze");
  ASSERT_TRUE(run(*connection, [&] { return kept.has_value(); }));
  EXPECT_GE(kept->done(), 0);
  EXPECT_LT(kept->done(), 0) << "it has been answered";
  const auto answer = daemon_->wait_for_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "");
}

TEST_F(LibraryCallback, WithoutACallThrowsToTheHandler) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  Client::Callbacks callbacks;
  callbacks.disconnected = [](const Error&) { throw std::runtime_error("disconnected"); };
  auto client = Client::register_client(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  auto create = connection->create_session_async(
      "s", "", "", [](const Result<Session>&) { throw std::runtime_error("created"); });
  ASSERT_TRUE(create);
  ASSERT_TRUE(run(*connection, [&] { return thrown_.size() == 1; }));
  daemon_->stop();
  ASSERT_TRUE(run(*connection, [&] { return thrown_.size() == 2; }));
  EXPECT_EQ(thrown_, (std::vector<std::string>{"created", "disconnected"}));
}

}  // namespace
}  // namespace handover::client

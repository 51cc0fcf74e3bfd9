// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls that nobody stands still for. tests/bus/library_test.cpp has each of them with the daemon
// itself.
#include <sys/mman.h>

#include <cerrno>

#include "library_fixture.h"

namespace handover::client {
namespace {

using std::chrono::steady_clock;

class LibraryAsync : public Library {
 protected:
  void SetUp() override {
    Library::SetUp();
    daemon_->start("new");
  }
};

TEST_F(LibraryAsync, AnOperationEndsInItsCallback) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::optional<Session> made;
  auto create = connection->create_session_async("s", "", "", [&](Result<Session> session) {
    ASSERT_TRUE(session) << session.error().message;
    made.emplace(std::move(*session));
  });
  ASSERT_TRUE(create) << create.error().message;
  EXPECT_FALSE(made) << "from the loop, and not before";
  ASSERT_TRUE(run(*connection, [&] { return made.has_value(); }));

  std::optional<Error> refused;
  auto again = connection->create_session_async(
      "s", "", "", [&](const Result<Session>& session) { refused = session.error(); });
  ASSERT_TRUE(again);
  ASSERT_TRUE(run(*connection, [&] { return refused.has_value(); }));
  EXPECT_TRUE(refused->is("NameTaken"));
  EXPECT_EQ(refused->code, EEXIST);

  auto absent = connection->get_session("absent");
  ASSERT_TRUE(absent);
  std::optional<Error> missing;
  auto retrieve = absent->retrieve_async(1, [&](const Result<Fd>& fd) { missing = fd.error(); });
  ASSERT_TRUE(retrieve);
  ASSERT_TRUE(run(*connection, [&] { return missing.has_value(); }));
  EXPECT_TRUE(missing->is("NoSuchSession")) << missing->name;
  EXPECT_EQ(missing->code, ENOENT);
}

TEST_F(LibraryAsync, WhatIsCancelledIsNotHeardOf) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto session = connection->create_session("s");
  ASSERT_TRUE(session);
  bool called = false;
  {
    auto dropped = session->retrieve_async(1, [&](const Result<Fd>&) { called = true; });
    ASSERT_TRUE(dropped);
  }
  auto cancelled = session->discard_async([&](const Result<void>&) { called = true; });
  ASSERT_TRUE(cancelled);
  cancelled->cancel();
  // Answered in their order: all that was asked before has been answered then.
  ASSERT_TRUE(connection->create_session("later"));
  run(*connection, [&, times = 0]() mutable { return ++times > 5; });
  EXPECT_FALSE(called);
}

TEST_F(LibraryAsync, WhatIsDetachedGoesOn) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto session = connection->create_session("s");
  ASSERT_TRUE(session);
  bool called = false;
  auto retrieve = session->retrieve_async(1, [&](const Result<Fd>& fd) {
    called = true;
    EXPECT_FALSE(fd);
  });
  ASSERT_TRUE(retrieve);
  retrieve->detach();
  EXPECT_TRUE(run(*connection, [&] { return called; }));
}

TEST_F(LibraryAsync, MayBeCancelledInItsOwnCallback) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::optional<Operation> operation;
  int called = 0;
  auto create = connection->create_session_async("s", "", "", [&](const Result<Session>&) {
    ++called;
    operation.reset();
  });
  ASSERT_TRUE(create);
  operation.emplace(std::move(*create));
  EXPECT_TRUE(run(*connection, [&] { return called == 1 && !operation; }));
}

TEST_F(LibraryAsync, EndsWithTheDaemon) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::optional<Error> ended;
  auto held = connection->create_session_async(
      "held", "", "", [&](const Result<Session>& session) { ended = session.error(); });
  ASSERT_TRUE(held);
  run(*connection, [&, times = 0]() mutable { return ++times > 2; });
  EXPECT_FALSE(ended);
  daemon_->stop();
  ASSERT_TRUE(run(*connection, [&] { return ended.has_value(); }));
  EXPECT_EQ(ended->code, ECONNRESET) << ended->name << ": " << ended->message;
}

TEST_F(LibraryAsync, TimesOutWithoutAnAnswer) {
  auto connection = connect();
  ASSERT_TRUE(connection);
  ASSERT_GE(handover_set_call_timeout(connection->get(), 20'000), 0);
  std::optional<Error> ended;
  auto held = connection->create_session_async(
      "held", "", "", [&](const Result<Session>& session) { ended = session.error(); });
  ASSERT_TRUE(held);
  ASSERT_TRUE(run(*connection, [&] { return ended.has_value(); }));
  EXPECT_EQ(ended->code, ETIMEDOUT) << ended->name << ": " << ended->message;
}

TEST_F(LibraryAsync, EndsWithTheConnection) {
  std::optional<Error> ended;
  Result<Operation> held = Error{};
  {
    auto connection = connect();
    ASSERT_TRUE(connection);
    held = connection->create_session_async(
        "held", "", "", [&](const Result<Session>& session) { ended = session.error(); });
    ASSERT_TRUE(held);
  }
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, ECANCELED);
}

/// For callbacks that run when the last reference is given back.
struct LastWords {
  handover_connection* connection = nullptr;
  int called = 0;
  bool keep = false;
  handover_session* kept = nullptr;
};

/// Uses the connection, and asks again for what was cancelled.
void ask_again(int result, const handover_error*, void* userdata) {
  auto& words = *static_cast<LastWords*>(userdata);
  ++words.called;
  EXPECT_EQ(result, -ECANCELED);
  EXPECT_EQ(handover_is_connected(words.connection), 0);
  EXPECT_EQ(handover_process(words.connection), -ECANCELED);
  handover_session* session = nullptr;
  ASSERT_EQ(handover_session_get(words.connection, "s", &session, nullptr), 0);
  EXPECT_EQ(handover_session_finish_async(session, ask_again, userdata, nullptr, nullptr),
            -ECANCELED);
  if (words.keep) {
    words.kept = session;
  } else {
    handover_session_unref(session);
  }
}

void ask_again_for_session(int result, handover_session*, const handover_error* error,
                           void* userdata) {
  ask_again(result, error, userdata);
}

class LibraryLastWords : public LibraryAsync {
 protected:
  /// A call is under way, and the only reference is ours.
  void SetUp() override {
    LibraryAsync::SetUp();
    ASSERT_EQ(handover_connect(0, 60'000'000, nullptr, &words.connection, nullptr), 0);
    ASSERT_EQ(handover_session_create_async(words.connection, "held", nullptr, nullptr,
                                            ask_again_for_session, &words, nullptr, nullptr),
              0);
  }

  LastWords words;
};

TEST_F(LibraryLastWords, TakeAndGiveBackReferences) {
  EXPECT_EQ(handover_unref(words.connection), nullptr);
  EXPECT_EQ(words.called, 1);
}

TEST_F(LibraryLastWords, MayKeepAReference) {
  words.keep = true;
  EXPECT_EQ(handover_unref(words.connection), nullptr);
  EXPECT_EQ(words.called, 1);
  ASSERT_NE(words.kept, nullptr);
  handover_error* error = nullptr;
  EXPECT_EQ(handover_session_finish(words.kept, &error), -ECANCELED);
  EXPECT_STREQ(handover_error_message(error), "The connection to handoverd was given back.");
  handover_error_free(error);
  handover_session_unref(words.kept);
}

TEST_F(LibraryAsync, ASearchMayUseItsConnectionAtTheEnd) {
  daemon_->stop();
  LastWords words;
  ASSERT_EQ(
      handover_connect_async(0, UINT64_MAX, nullptr, ask_again, &words, &words.connection, nullptr),
      0);
  EXPECT_EQ(handover_unref(words.connection), nullptr);
  EXPECT_EQ(words.called, 1);
}

TEST_F(LibraryAsync, TheConnectionMayBeGivenBackInACallback) {
  auto opened = connect();
  ASSERT_TRUE(opened);
  std::optional<Connection> connection(std::move(*opened));
  int ended = 0;
  auto held = connection->create_session_async("held", "", "", [&](const Result<Session>& session) {
    EXPECT_EQ(session.error().code, ECANCELED);
    ++ended;
  });
  auto create = connection->create_session_async("s", "", "", [&](const Result<Session>&) {
    ++ended;
    connection.reset();
  });
  ASSERT_TRUE(held);
  ASSERT_TRUE(create);
  const auto deadline = steady_clock::now() + std::chrono::minutes(1);
  while (connection && steady_clock::now() < deadline) connection->wait(20'000);
  EXPECT_EQ(ended, 2);
}

TEST_F(LibraryAsync, ConnectsWithoutWaiting) {
  daemon_->stop();
  std::optional<Result<void>> opened;
  auto connection = Connection::open_async({0, 60'000'000, nullptr},
                                           [&](const Result<void>& done) { opened = done; });
  ASSERT_TRUE(connection) << connection.error().message;
  EXPECT_FALSE(connection->connected());
  EXPECT_EQ(connection->create_session("s").error().code, ENOTCONN);
  // Registered as soon as there is somebody to register with.
  std::optional<Client::State> registered;
  Client::Callbacks callbacks;
  callbacks.registered = [&](Client::State state) { registered = state; };
  auto client = Client::register_async(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(client) << client.error().message;
  run(*connection, [&, times = 0]() mutable { return ++times > 2; });
  EXPECT_FALSE(opened);
  daemon_->start("restoring");
  ASSERT_TRUE(run(*connection, [&] { return registered.has_value(); }));
  ASSERT_TRUE(opened);
  EXPECT_TRUE(*opened);
  EXPECT_EQ(*registered, HANDOVER_CLIENT_RESTORING);
  EXPECT_TRUE(answer_to(*connection, "Restore"));
  EXPECT_TRUE(connection->create_session("s"));
}

TEST_F(LibraryAsync, SaysThatThereIsNoDaemon) {
  daemon_->stop();
  std::optional<Result<void>> opened;
  auto connection = Connection::open_async({0, 100'000, nullptr},
                                           [&](const Result<void>& done) { opened = done; });
  ASSERT_TRUE(connection);
  ASSERT_TRUE(run(*connection, [&] { return opened.has_value(); }));
  ASSERT_FALSE(*opened);
  EXPECT_EQ(opened->error().code, ETIMEDOUT);
}

TEST_F(LibraryAsync, TheSearchEndsWithTheConnection) {
  daemon_->stop();
  std::optional<Result<void>> opened;
  {
    auto connection = Connection::open_async({0, UINT64_MAX, nullptr},
                                             [&](const Result<void>& done) { opened = done; });
    ASSERT_TRUE(connection);
  }
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->error().code, ECANCELED);
}

TEST_F(LibraryAsync, ARefusedRegistrationIsTriedAgain) {
  daemon_->stop();
  daemon_->refuse_registrations("Busy");
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  int refusals = 0;
  Client::Callbacks callbacks;
  callbacks.registered = [&](Client::State) { ADD_FAILURE() << "it is refused"; };
  callbacks.disconnected = [&](const Error& error) { refusals += error.code == EBUSY ? 1 : 0; };
  auto client = Client::register_async(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  EXPECT_TRUE(run(*connection, [&] { return refusals == 2; }));
  std::optional<Result<void>> ended;
  auto unregister = client->unregister_async([&](const Result<void>& done) { ended = done; });
  ASSERT_TRUE(unregister);
  ASSERT_TRUE(run(*connection, [&] { return ended.has_value(); }));
  EXPECT_TRUE(*ended);
}

/// A registration that waits for polkit, and is given up before polkit has answered.
class LibraryHeldRegistration : public LibraryAsync {
 protected:
  void SetUp() override {
    LibraryAsync::SetUp();
    daemon_->stop();
    daemon_->hold_registrations();
    daemon_->start("new");
    auto made = connect();
    ASSERT_TRUE(made);
    connection.emplace(std::move(*made));
  }

  std::optional<Client> register_held(bool must_be_silent = true) {
    const int before = daemon_->registrations();
    Client::Callbacks callbacks;
    callbacks.registered = [this, must_be_silent](Client::State) {
      ++told;
      EXPECT_FALSE(must_be_silent) << "it was given up";
    };
    callbacks.disconnected = [](const Error& error) { ADD_FAILURE() << error.message; };
    auto client = Client::register_async(*connection, "db", {}, std::move(callbacks));
    EXPECT_TRUE(client);
    EXPECT_TRUE(run(*connection, [&] { return daemon_->registrations() > before; }));
    return std::optional<Client>(std::move(*client));
  }

  void expect_undone(int unregistrations) {
    daemon_->let_registrations_go();
    EXPECT_TRUE(run(*connection, [&] { return daemon_->unregistrations() == unregistrations; }));
    EXPECT_EQ(daemon_->clients(), 0);
  }

  std::optional<Connection> connection;
  int told = 0;
};

TEST_F(LibraryHeldRegistration, IsUndoneWhenUnregistered) {
  auto client = register_held();
  EXPECT_TRUE(client->unregister());
  EXPECT_EQ(daemon_->unregistrations(), 1);
  expect_undone(2);
}

TEST_F(LibraryHeldRegistration, IsUndoneWhenUnregisteredAndGivenBack) {
  auto client = register_held();
  std::optional<Result<void>> ended;
  auto unregister = client->unregister_async([&](const Result<void>& done) { ended = done; });
  ASSERT_TRUE(unregister);
  client.reset();
  ASSERT_TRUE(run(*connection, [&] { return ended.has_value(); }));
  EXPECT_TRUE(*ended);
  expect_undone(2);
}

TEST_F(LibraryHeldRegistration, IsUndoneWhenGivenBack) {
  auto client = register_held();
  client.reset();
  expect_undone(1);
}

/// polkit answers right before an update stands still.
TEST_F(LibraryHeldRegistration, IsUndoneWhenTheUpdateIsOver) {
  auto client = register_held();
  client.reset();
  daemon_->stand_still_for(2);
  expect_undone(3);
}

/// Meanwhile the name has been used again.
TEST_F(LibraryHeldRegistration, IsNotUndoneLaterForTheNextOne) {
  auto client = register_held();
  client.reset();
  daemon_->stand_still_for(1);
  daemon_->let_registrations_go();
  ASSERT_TRUE(run(*connection, [&] { return daemon_->unregistrations() == 1; }));
  client = register_held(false);
  daemon_->let_registrations_go();
  EXPECT_TRUE(run(*connection, [&] { return told == 1; }));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  EXPECT_TRUE(run(*connection, [&] { return std::chrono::steady_clock::now() > end; }));
  EXPECT_EQ(daemon_->unregistrations(), 1);
  EXPECT_EQ(daemon_->clients(), 1);
}

TEST_F(LibraryHeldRegistration, GoesWithTheConnection) {
  auto client = register_held();
  client.reset();
  connection.reset();
  daemon_->let_registrations_go();
}

/// What is undone is not the one that came after it.
TEST_F(LibraryHeldRegistration, IsNotUndoneForTheNextOne) {
  auto client = register_held();
  EXPECT_TRUE(client->unregister());
  client.reset();
  client = register_held(false);
  daemon_->let_registrations_go();
  EXPECT_TRUE(run(*connection, [&] { return told == 1; }));
  EXPECT_FALSE(connection->wait(50'000) < 0);
  EXPECT_EQ(daemon_->unregistrations(), 1);
  EXPECT_EQ(daemon_->clients(), 1);
}

}  // namespace
}  // namespace handover::client

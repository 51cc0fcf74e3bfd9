// SPDX-License-Identifier: LGPL-2.1-or-later
// libhandover against a daemon on a private socket.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <handover/handover.hpp>
#include <thread>

#include "fake_bus.h"
#include "library_fixture.h"

extern "C" int c_sees_error(const handover_error* error, const char* wanted);

namespace handover::client {
namespace {

using std::chrono::steady_clock;

TEST(LibraryError, NamesWithAndWithoutPrefix) {
  handover_error* failed = nullptr;
  EXPECT_EQ(handover_session_get(nullptr, "s", nullptr, &failed), -EINVAL);
  ASSERT_NE(failed, nullptr);
  EXPECT_EQ(c_sees_error(failed, "org.freedesktop.DBus.Error.InvalidArgs"), 1);
  EXPECT_EQ(c_sees_error(failed, "InvalidArgs"), 0);
  // What is in the way is freed.
  EXPECT_EQ(handover_connect(1U << 31U, 0, nullptr, nullptr, &failed), -EINVAL);
  EXPECT_EQ(handover_error_free(failed), nullptr);
  const Error error{"org.handover1.Error.Busy", "", 0};
  EXPECT_TRUE(error.is("Busy"));
  EXPECT_TRUE(error.is("org.handover1.Error.Busy"));
  EXPECT_FALSE(error.is("usy"));
}

TEST(LibraryVersion, IsThatOfTheHeader) {
  EXPECT_EQ(handover_version(), HANDOVER_VERSION_NUMBER);
  EXPECT_EQ(HANDOVER_VERSION_NUMBER / 1000000, HANDOVER_VERSION_MAJOR);
  EXPECT_EQ(HANDOVER_VERSION_NUMBER / 1000 % 1000, HANDOVER_VERSION_MINOR);
  EXPECT_EQ(HANDOVER_VERSION_NUMBER % 1000, HANDOVER_VERSION_PATCH);
}

TEST_F(Library, SaysAtOnceThatThereIsNoDaemon) {
  auto connection = connect(0);
  ASSERT_FALSE(connection);
  EXPECT_NE(connection.error().message.find(path_), std::string::npos)
      << connection.error().message;
  EXPECT_NE(connection.error().code, 0);
}

TEST_F(Library, GivesUpWhenTheTimeIsOver) {
  const auto before = steady_clock::now();
  auto connection = connect(100'000);
  const auto took = steady_clock::now() - before;
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ETIMEDOUT);
  EXPECT_GE(took, std::chrono::milliseconds(90));
}

TEST_F(Library, WaitsForADaemonThatComesLater) {
  std::thread later([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    daemon_->start("new");
  });
  auto connection = connect();
  later.join();
  ASSERT_TRUE(connection) << connection.error().message;
  EXPECT_TRUE(connection->connected());
  EXPECT_EQ(connection->destination(), nullptr);
}

TEST_F(Library, WaitsForADirectoryThatComesLater) {
  const std::string deeper = directory_.path("run/private");
  setenv("HANDOVER_PRIVATE_SOCKET", deeper.c_str(), 1);
  test::FakeDaemon daemon(deeper);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    std::filesystem::create_directory(directory_.path("run"));
    daemon.start("new");
  });
  auto connection = connect();
  later.join();
  EXPECT_TRUE(connection) << connection.error().message;
}

TEST_F(Library, WaitsForADirectoryThatCannotBeWatched) {
  std::filesystem::create_symlink("run", directory_.path("run"));
  const std::string deeper = directory_.path("run/private");
  setenv("HANDOVER_PRIVATE_SOCKET", deeper.c_str(), 1);
  test::FakeDaemon daemon(deeper);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    std::filesystem::remove(directory_.path("run"));
    std::filesystem::create_directory(directory_.path("run"));
    daemon.start("new");
  });
  auto connection = connect();
  later.join();
  EXPECT_TRUE(connection) << connection.error().message;
}

/// The instances of a user are few (fs.inotify.max_user_instances), and many clients may share
/// them.
TEST_F(Library, WaitsWithoutAnInotifyInstance) {
  constexpr int skipped = 77;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // A user namespace has a limit of its own, so that other tests keep theirs.
    if (unshare(CLONE_NEWUSER) < 0) _exit(skipped);
    std::ofstream("/proc/sys/user/max_inotify_instances") << "0" << std::flush;
    if (inotify_init1(IN_CLOEXEC) >= 0) _exit(skipped);
    _exit(connect() ? 0 : 1);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  daemon_->start("new");
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == skipped) GTEST_SKIP() << "user namespaces are not to be had";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Library, AnEmptySocketPathMeansNone) {
  daemon_->start("new");
  setenv("HANDOVER_PRIVATE_SOCKET", "", 1);
  EXPECT_FALSE(connect(0));
}

TEST_F(Library, RegistersAndLearnsTheState) {
  daemon_->start("restoring");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto client = Client::register_client(*connection, "näme/1", {}, {});
  ASSERT_TRUE(client) << client.error().message;
  EXPECT_EQ(client->state(), HANDOVER_CLIENT_RESTORING);
  EXPECT_EQ(daemon_->registrations(), 1);
}

TEST_F(Library, CallbackSeesTheContextAndVetoes) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::uint64_t generation = 0;
  std::uint64_t timeout = 0;
  Client::Callbacks callbacks;
  callbacks.prepare = [&](Call call) {
    generation = call.generation();
    timeout = call.timeout_usec();
    call.fail("The database is in a backup; try again in an hour.");
  };
  auto client = Client::register_client(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  daemon_->call_client("Prepare");
  ASSERT_TRUE(run(*connection, [&] { return generation != 0; }));
  const auto answer = daemon_->wait_for_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "org.handover1.Error.Vetoed");
  EXPECT_EQ(answer->message, "The database is in a backup; try again in an hour.");
  EXPECT_EQ(generation, 4U);
  EXPECT_EQ(timeout, 2'000'000U);
}

TEST_F(Library, AMissingCallbackIsASuccess) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto client = Client::register_client(*connection, "db", {}, {});
  ASSERT_TRUE(client);
  const auto answer = answer_to(*connection, "Freeze");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "");
}

TEST_F(Library, AnswersLaterAndFromAForeignLoop) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::optional<Call> held;
  Client::Callbacks callbacks;
  callbacks.freeze = [&](Call call) { held.emplace(std::move(call)); };
  auto client = Client::register_client(*connection, "vm", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  daemon_->call_client("Freeze");
  connection->process();
  for (int i = 0; i < 200 && !held; ++i) {
    pollfd wait = {connection->fd(), POLLIN, 0};
    if (poll(&wait, 1, 50) > 0) connection->process();
  }
  ASSERT_TRUE(held);
  held->done();
  const auto answer = daemon_->wait_for_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "");
}

TEST_F(Library, ARehearsalIsToldToClients) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::string seen;
  const auto note = [&seen](Call call) {
    seen += call.rehearsal() ? "rehearsal " : "";
    seen += call.stays_prepared() ? "stays " : "";
    call.done();
  };
  Client::Callbacks callbacks;
  callbacks.freeze = note;
  callbacks.thaw = note;
  auto client = Client::register_client(*connection, "vm", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  daemon_->call_client("Freeze");
  ASSERT_TRUE(run(*connection, [&] { return seen == "rehearsal "; })) << seen;
  ASSERT_TRUE(daemon_->wait_for_answer());
  daemon_->call_client("Thaw");
  ASSERT_TRUE(run(*connection, [&] { return seen == "rehearsal stays "; })) << seen;
  ASSERT_TRUE(daemon_->wait_for_answer());
}

TEST_F(Library, ADroppedCallIsAnsweredByAnError) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  bool called = false;
  bool quiesced = true;
  Client::Callbacks callbacks;
  callbacks.restore = [&](const Call& call) {
    called = true;
    quiesced = call.quiesced();
  };
  auto client = Client::register_client(*connection, "vm", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  daemon_->call_client("Restore");
  ASSERT_TRUE(run(*connection, [&] { return called; }));
  EXPECT_FALSE(quiesced);
  const auto answer = daemon_->wait_for_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "org.handover1.Error.StateLost");
}

TEST_F(Library, RegistersAgainWithADaemonThatIsBack) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  std::string lost;
  std::optional<Client::State> again;
  Client::Callbacks callbacks;
  callbacks.disconnected = [&](const Error& error) { lost = error.message; };
  callbacks.registered = [&](Client::State state) { again = state; };
  auto client = Client::register_client(*connection, "vm", {}, std::move(callbacks));
  ASSERT_TRUE(client);

  daemon_->stop();
  ASSERT_TRUE(run(*connection, [&] { return !lost.empty(); }));
  EXPECT_FALSE(connection->connected());
  auto session = connection->create_session("s");
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, ENOTCONN);

  daemon_->start("thawing");
  ASSERT_TRUE(run(*connection, [&] { return again.has_value(); }));
  EXPECT_EQ(*again, HANDOVER_CLIENT_THAWING);
  EXPECT_EQ(client->state(), HANDOVER_CLIENT_THAWING);
  EXPECT_EQ(daemon_->registrations(), 2);
  EXPECT_TRUE(connection->connected());

  // And the new daemon reaches it.
  EXPECT_TRUE(answer_to(*connection, "Thaw"));
}

/// Refused by the daemon that is back, it was tried again for ever, whoever had given it up.
TEST_F(Library, UnregisteringEndsRegistrationsThatAreRefused) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  int refusals = 0;
  Client::Callbacks callbacks;
  callbacks.disconnected = [&](const Error& error) { refusals += error.is("Busy") ? 1 : 0; };
  auto client = Client::register_client(*connection, "vm", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  daemon_->stop();
  daemon_->refuse_registrations("Busy");
  daemon_->start("new");
  ASSERT_TRUE(run(*connection, [&] { return refusals >= 2; }));
  const auto done = client->unregister();
  EXPECT_TRUE(done) << done.error().message;  // NoSuchClient: as was wanted
  const auto before = daemon_->registrations();
  const auto until = steady_clock::now() + std::chrono::milliseconds(500);
  run(*connection, [&] { return steady_clock::now() > until; });
  EXPECT_EQ(daemon_->registrations(), before);
}

/// Whoever has the name now must not lose it.
TEST_F(Library, UnregistersNobodyElse) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  bool taken = false;
  Client::Callbacks callbacks;
  callbacks.disconnected = [&](const Error& error) { taken = taken || error.is("NameTaken"); };
  auto client = Client::register_client(*connection, "vm", {}, std::move(callbacks));
  ASSERT_TRUE(client);
  daemon_->stop();
  daemon_->refuse_registrations("NameTaken");
  daemon_->start("new");
  ASSERT_TRUE(run(*connection, [&] { return taken; }));
  EXPECT_TRUE(client->unregister());
  EXPECT_EQ(daemon_->unregistrations(), 0);
}

TEST_F(Library, RegistersAgainWhereNothingCanBeWatched) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  bool lost = false;
  bool again = false;
  Client::Callbacks callbacks;
  callbacks.disconnected = [&](const Error&) { lost = true; };
  callbacks.registered = [&](Client::State) { again = true; };
  auto client = Client::register_client(*connection, "vm", {}, std::move(callbacks));
  ASSERT_TRUE(client);

  std::filesystem::create_symlink("run", directory_.path("run"));
  const std::string deeper = directory_.path("run/private");
  setenv("HANDOVER_PRIVATE_SOCKET", deeper.c_str(), 1);
  daemon_->stop();
  ASSERT_TRUE(run(*connection, [&] { return lost; }));
  connection->wait(20'000);  // it looks for the daemon by now
  std::filesystem::remove(directory_.path("run"));
  std::filesystem::create_directory(directory_.path("run"));
  test::FakeDaemon daemon(deeper);
  daemon.start("new");
  EXPECT_TRUE(run(*connection, [&] { return again; }));
}

/// The first client's registration with the new daemon fails at once; told of that, the application
/// gives up the second one as well, whose turn was next.
TEST_F(Library, ACallbackMayGiveBackAnotherClient) {
  setenv("HANDOVER_PRIVATE_SOCKET", "", 1);
  test::FakeBus bus(directory_.path("no-bus"));
  auto connection = connect();
  ASSERT_TRUE(connection) << connection.error().message;
  std::optional<Client> second;
  int told = 0;
  Client::Callbacks callbacks;
  callbacks.disconnected = [&](const Error&) {
    ++told;
    second.reset();
  };
  auto first = Client::register_client(*connection, "first", {}, std::move(callbacks));
  ASSERT_TRUE(first) << first.error().message;
  Client::Callbacks of_second;
  of_second.disconnected = [&](const Error&) { ADD_FAILURE() << "it is not there any more"; };
  auto registered = Client::register_client(*connection, "second", {}, std::move(of_second));
  ASSERT_TRUE(registered) << registered.error().message;
  second.emplace(std::move(*registered));
  bus.change_owner_and_die();
  // Once by the registration that failed, once by the connection that was lost.
  EXPECT_TRUE(run(*connection, [&] { return told == 2; }));
}

TEST_F(Library, PassesDescriptorsBothWays) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto session = connection->create_session("s 1");
  ASSERT_TRUE(session) << session.error().message;
  const Fd memory(memfd_create("m", MFD_CLOEXEC));
  ASSERT_TRUE(session->preserve(7, memory.get()));
  auto tokens = session->tokens();
  ASSERT_TRUE(tokens) << tokens.error().message;
  ASSERT_EQ(tokens->size(), 1U);
  EXPECT_EQ(tokens->front().token, 7U);
  EXPECT_EQ(tokens->front().kind, "memfd");
  EXPECT_EQ(tokens->front().backend, "luo");

  auto same = connection->get_session("s 1");
  ASSERT_TRUE(same);
  auto back = same->retrieve(7);
  ASSERT_TRUE(back) << back.error().message;
  struct stat sent = {};
  struct stat received = {};
  ASSERT_EQ(fstat(memory.get(), &sent), 0);
  ASSERT_EQ(fstat(back->get(), &received), 0);
  EXPECT_EQ(sent.st_ino, received.st_ino);
  EXPECT_NE(fcntl(back->get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(Library, AsksForABackendAndForTheModulesSession) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto session = connection->create_session("s");
  ASSERT_TRUE(session);
  auto none = session->open_tracker();
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().is("NoSuchBackend"));

  const Fd memory(memfd_create("m", MFD_CLOEXEC));
  ASSERT_TRUE(session->preserve_in("tracker", 1, memory.get()));
  ASSERT_TRUE(session->preserve(2, memory.get()));
  auto tokens = session->tokens();
  ASSERT_TRUE(tokens) << tokens.error().message;
  ASSERT_EQ(tokens->size(), 2U);
  EXPECT_EQ(tokens->at(0).backend, "tracker");
  EXPECT_EQ(tokens->at(1).backend, "luo") << "left to the daemon";

  auto own = session->open_tracker();
  ASSERT_TRUE(own) << own.error().message;
  struct stat sent = {};
  struct stat received = {};
  ASSERT_EQ(fstat(memory.get(), &sent), 0);
  ASSERT_EQ(fstat(own->get(), &received), 0);
  EXPECT_EQ(sent.st_ino, received.st_ino);
  EXPECT_NE(fcntl(own->get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_TRUE(session->open_luo());
}

/// sd-bus would refuse to send them, with no more than EINVAL.
TEST_F(Library, RefusesNamesThatAreNotUtf8) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  const auto is_named = [](const Error& error) {
    return error.is("InvalidName") && error.message.find("not UTF-8") != std::string::npos;
  };
  for (const char* name : {"\xff", "a\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                           "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xef\xbf\xbe"}) {
    SCOPED_TRACE(name);
    auto made = connection->create_session(name);
    ASSERT_FALSE(made);
    EXPECT_TRUE(is_named(made.error())) << made.error().message;
    auto owned = connection->create_session("s", "", name);
    ASSERT_FALSE(owned);
    EXPECT_TRUE(is_named(owned.error())) << owned.error().message;
    auto found = connection->get_session(name);
    ASSERT_FALSE(found);
    EXPECT_TRUE(is_named(found.error())) << found.error().message;
    auto client = Client::register_client(*connection, name, {}, {});
    ASSERT_FALSE(client);
    EXPECT_TRUE(is_named(client.error())) << client.error().message;
    Client::Options options;
    options.needs = {name};
    auto needing = Client::register_client(*connection, "c", options, {});
    ASSERT_FALSE(needing);
    EXPECT_TRUE(is_named(needing.error())) << needing.error().message;
  }
  EXPECT_EQ(connection->create_session("\xff\n").error().message,
            "The name '\\xff\\x0a' is not UTF-8; choose one of 1 to 63 bytes of UTF-8.");
  for (const char* name : {"größe", "名前", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80"}) {
    EXPECT_TRUE(connection->create_session(name)) << name;
  }
}

TEST_F(Library, ErrorsOfTheDaemonKeepTheirNames) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  ASSERT_TRUE(connection->create_session("s"));
  auto taken = connection->create_session("s");
  ASSERT_FALSE(taken);
  EXPECT_TRUE(taken.error().is("NameTaken"));
  EXPECT_EQ(taken.error().message, "A session 's' exists.");
  auto session = connection->get_session("s");
  ASSERT_TRUE(session);
  auto token = session->retrieve(1);
  ASSERT_FALSE(token);
  EXPECT_TRUE(token.error().is("NoSuchToken"));
  handover_error* failed = nullptr;
  int fd = -1;
  EXPECT_EQ(handover_session_retrieve(session->get(), 1, &fd, &failed), -ENOENT);
  EXPECT_EQ(c_sees_error(failed, "NoSuchToken"), 1);
  EXPECT_EQ(c_sees_error(failed, "NoSuch"), 0);
  handover_error_free(failed);
  auto absent = connection->get_session("absent");
  ASSERT_TRUE(absent);  // nobody was asked yet
  auto nothing = absent->retrieve(1);
  ASSERT_FALSE(nothing);
  EXPECT_TRUE(nothing.error().is("NoSuchSession")) << nothing.error().name;
}

/// The daemon that was started again holds nothing of what the last one did.
class LostSessions : public Library {
 protected:
  Client::Callbacks callbacks() {
    Client::Callbacks all;
    all.registered = [this](Client::State) { ++registered; };
    all.session_lost = [this](const std::string& name) { lost.push_back(name); };
    return all;
  }
  void restart(Connection& connection, const std::string& state) {
    const auto before = registered;
    daemon_->stop();
    daemon_->start(state);
    ASSERT_TRUE(run(connection, [&] { return registered > before; }));
  }

  /// The session, which is db's, is listed twice, and lost with the daemon.
  void expect_told(Connection& connection, Session& session) {
    for (int times = 0; times < 2; ++times) {
      bool listed = false;
      auto listing = session.tokens_async([&](const auto&) { listed = true; });
      ASSERT_TRUE(listing);
      ASSERT_TRUE(run(connection, [&] { return listed; }));
    }
    daemon_->stop();
    daemon_->release_sessions();
    daemon_->start("new");
    ASSERT_TRUE(run(connection, [&] { return !lost.empty(); }));
    EXPECT_EQ(lost, std::vector<std::string>{"db"});
  }

  int registered = 0;
  std::vector<std::string> lost;
};

TEST_F(LostSessions, AreTold) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto client = Client::register_client(*connection, "db", {}, callbacks());
  ASSERT_TRUE(client);
  ASSERT_TRUE(connection->create_session("db", "", "db"));
  ASSERT_TRUE(connection->create_session("db-log", "", "db"));
  ASSERT_TRUE(connection->create_session("somebody's", "", "other"));
  auto ended = connection->create_session("ended", "", "db");
  ASSERT_TRUE(ended);
  ASSERT_TRUE(ended->discard());
  restart(*connection, "new");
  ASSERT_TRUE(run(*connection, [&] { return lost.size() == 2; }));
  EXPECT_EQ(lost, (std::vector<std::string>{"db", "db-log"}));
  // Made anew, it can be lost anew; the other one is told once.
  ASSERT_TRUE(connection->create_session("db", "", "db"));
  restart(*connection, "new");
  ASSERT_TRUE(run(*connection, [&] { return lost.size() == 3; }));
  EXPECT_EQ(lost.back(), "db");
}

/// A client whose process had died takes them over. Each is told to the client that it is of.
TEST_F(LostSessions, AreToldOfThoseTakenOverToo) {
  daemon_->hold_session("db", "db", false);
  daemon_->hold_session("cache", "cache", false);
  daemon_->hold_session("untouched", "db", false);
  daemon_->hold_session("earlier", "db", true);
  daemon_->hold_session("ended", "db", false);
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto first = connection->get_session("db");  // also before its client is registered
  ASSERT_TRUE(first);
  ASSERT_TRUE(first->tokens());
  auto client = Client::register_client(*connection, "db", {}, callbacks());
  ASSERT_TRUE(client);
  auto other = Client::register_client(*connection, "cache", {}, {});
  ASSERT_TRUE(other);
  ASSERT_TRUE(connection->get_session("untouched"));
  for (const char* name : {"cache", "earlier", "ended"}) {
    auto session = connection->get_session(name);
    ASSERT_TRUE(session);
    ASSERT_TRUE(session->tokens());
    if (std::string_view(name) == "ended") {
      ASSERT_TRUE(session->discard());
    }
  }
  // What was asked for is answered before that.
  bool listed = false;
  auto listing = first->tokens_async([&](const auto&) { listed = true; });
  ASSERT_TRUE(listing);
  ASSERT_TRUE(run(*connection, [&] { return listed; }));
  daemon_->stop();
  daemon_->release_sessions();
  daemon_->start("new");
  ASSERT_TRUE(run(*connection, [&] { return !lost.empty(); }));
  run(*connection, [&, times = 0]() mutable { return ++times > 5; });
  EXPECT_EQ(lost, std::vector<std::string>{"db"});
}

TEST_F(LostSessions, AreToldThoughTheFirstCallFailed) {
  daemon_->hold_session("db", "db", false);
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto client = Client::register_client(*connection, "db", {}, callbacks());
  ASSERT_TRUE(client);
  auto session = connection->get_session("db");
  ASSERT_TRUE(session);
  std::string failed;
  auto retrieving = session->retrieve_async(9, [&](const auto& fd) { failed = fd.error().name; });
  ASSERT_TRUE(retrieving);
  ASSERT_TRUE(run(*connection, [&] { return !failed.empty(); }));
  EXPECT_EQ(failed, "org.handover1.Error.NoSuchToken");
  expect_told(*connection, *session);
}

/// Whoever restores is not asked for more; afterwards it is a client like any other.
TEST_F(LostSessions, AreToldOfThoseTakenOverAfterRestore) {
  daemon_->hold_session("db", "db", false);
  daemon_->start("restoring");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto client = Client::register_client(*connection, "db", {}, callbacks());
  ASSERT_TRUE(client);
  auto session = connection->get_session("db");
  ASSERT_TRUE(session);
  ASSERT_TRUE(session->tokens());
  daemon_->call_client("Restore");
  run(*connection, [&, times = 0]() mutable { return ++times > 5; });
  ASSERT_TRUE(daemon_->wait_for_answer());
  expect_told(*connection, *session);
}

TEST_F(LostSessions, NotThoseOfAnEarlierKernel) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  auto client = Client::register_client(*connection, "db", {}, callbacks());
  ASSERT_TRUE(client);
  ASSERT_TRUE(connection->create_session("db", "", "db"));
  restart(*connection, "restoring");
  restart(*connection, "new");
  // Whatever was asked for came before this is answered.
  ASSERT_TRUE(connection->create_session("db", "", "db"));
  run(*connection, [&, times = 0]() mutable { return ++times > 5; });
  EXPECT_TRUE(lost.empty());
}

TEST_F(LostSessions, TheClientMayBeFreedByTheNews) {
  daemon_->start("new");
  auto connection = connect();
  ASSERT_TRUE(connection);
  handover_client_callbacks plain = {};
  plain.size = sizeof(plain);
  plain.session_lost = [](handover_client* self, const char* session, void* userdata) {
    static_cast<std::vector<std::string>*>(userdata)->emplace_back(session);
    handover_client_unref(self);
  };
  handover_client* raw = nullptr;
  ASSERT_GE(
      handover_client_register(connection->get(), "db", nullptr, &plain, &lost, &raw, nullptr), 0);
  ASSERT_TRUE(connection->create_session("a", "", "db"));
  ASSERT_TRUE(connection->create_session("b", "", "db"));
  daemon_->stop();
  daemon_->start("new");
  ASSERT_TRUE(run(*connection, [&] { return !lost.empty(); }));
  run(*connection, [&, times = 0]() mutable { return ++times > 5; });
  EXPECT_EQ(lost, std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace handover::client

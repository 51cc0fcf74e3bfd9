// SPDX-License-Identifier: LGPL-2.1-or-later
// libhandover with the daemon itself: every call that does not wait, through an update, and a
// watch. By the bus and by the private socket.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <handover/handover.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host.h"
#include "memory.h"

namespace handover::test {
namespace {

/// `Private` or not.
class LibraryOnTheDaemon : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    setenv("HANDOVER_PRIVATE_SOCKET",
           GetParam() ? host.directory().path("run/private").c_str() : "", 1);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", host.bus().address().c_str(), 1);
    host.boot();
    connection.emplace(connect());
  }
  void TearDown() override {
    unsetenv("HANDOVER_PRIVATE_SOCKET");
    unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
  }

  client::Connection connect() {
    std::optional<client::Result<void>> opened;
    auto made =
        client::Connection::open_async({0, 60'000'000, host.loop().get()},
                                       [&](const client::Result<void>& done) { opened = done; });
    EXPECT_TRUE(made) << made.error().message;
    EXPECT_TRUE(host.run_until([&] { return opened.has_value(); }));
    EXPECT_TRUE(*opened) << opened->error().message;
    return std::move(*made);
  }

  /// What `begin` was answered: begin(done) starts an operation.
  template <typename T, typename Begin>
  client::Result<T> result_of(const Begin& begin) {
    std::optional<client::Result<T>> result;
    auto operation = begin([&](client::Result<T> done) { result.emplace(std::move(done)); });
    if (!operation) return operation.error();
    EXPECT_TRUE(host.run_until([&] { return result.has_value(); }));
    return std::move(*result);
  }

  client::Session create(const std::string& name, const std::string& owner = "") {
    auto session = result_of<client::Session>(
        [&](auto done) { return connection->create_session_async(name, "", owner, done); });
    EXPECT_TRUE(session) << session.error().message;
    return std::move(*session);
  }
  client::Result<void> preserve(client::Session& session, std::uint64_t token, int fd) {
    return result_of<void>([&](auto done) { return session.preserve_async(token, fd, done); });
  }
  client::Result<client::Fd> retrieve(client::Session& session, std::uint64_t token) {
    return result_of<client::Fd>([&](auto done) { return session.retrieve_async(token, done); });
  }

  Host host;
  std::optional<client::Connection> connection;
};

TEST_P(LibraryOnTheDaemon, EveryCallHasAFormThatDoesNotWait) {
  auto session = create("s");
  const auto taken = result_of<client::Session>(
      [&](auto done) { return connection->create_session_async("s", "", "", done); });
  ASSERT_FALSE(taken);
  EXPECT_TRUE(taken.error().is("NameTaken"));
  EXPECT_EQ(taken.error().code, EEXIST);

  const auto memory = memory_with(1, 10'000);
  auto done = preserve(session, 1, memory.get());
  EXPECT_TRUE(done) << done.error().message;
  EXPECT_EQ(preserve(session, 1, memory.get()).error().code, EEXIST);
  done =
      result_of<void>([&](auto then) { return session.preserve_blob_async(2, "as bytes", then); });
  EXPECT_TRUE(done) << done.error().message;
  const auto other = memory_with(2, 5'000);
  done = result_of<void>(
      [&](auto then) { return session.preserve_in_async("tracker", 3, other.get(), then); });
  EXPECT_EQ(done.error().code, ENODEV) << done.error().message;

  const auto tokens =
      result_of<std::vector<client::Token>>([&](auto then) { return session.tokens_async(then); });
  ASSERT_TRUE(tokens) << tokens.error().message;
  ASSERT_EQ(tokens.value().size(), 2U);
  EXPECT_EQ(tokens.value()[0].token, 1U);
  EXPECT_EQ(tokens.value()[0].kind, "memfd");
  EXPECT_EQ(tokens.value()[0].bytes, 10'000U);
  EXPECT_EQ(tokens.value()[1].kind, "blob");
  EXPECT_EQ(tokens.value()[1].backend, "emulated");

  auto back = retrieve(session, 1);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(retrieve(session, 7).error().code, ENOENT);
  EXPECT_EQ(result_of<client::Fd>([&](auto then) { return session.open_tracker_async(then); })
                .error()
                .code,
            ENODEV);
  EXPECT_EQ(
      result_of<client::Fd>([&](auto then) { return session.open_luo_async(then); }).error().code,
      ENODEV);
  done = result_of<void>([&](auto then) { return session.unpreserve_async(1, then); });
  EXPECT_TRUE(done) << done.error().message;
  EXPECT_EQ(
      result_of<void>([&](auto then) { return session.unpreserve_async(1, then); }).error().code,
      ENOENT);
  done = result_of<void>([&](auto then) { return session.finish_async(then); });
  EXPECT_TRUE(done.error().is("NotIncoming"));
  EXPECT_EQ(done.error().code, ENODATA);
  done = result_of<void>([&](auto then) { return session.discard_async(then); });
  EXPECT_TRUE(done) << done.error().message;
  EXPECT_TRUE(host.list_sessions().empty());
  EXPECT_TRUE(retrieve(session, 1).error().is("NoSuchSession"));
}

TEST_P(LibraryOnTheDaemon, ACallUnderWhichTheDaemonEndsIsNoTimeOut) {
  std::optional<client::Result<client::Session>> ended;
  ASSERT_EQ(kill(host.manager().pid(), SIGSTOP), 0);
  auto begun = connection->create_session_async(
      "s", "", "", [&](client::Result<client::Session> done) { ended.emplace(std::move(done)); });
  ASSERT_TRUE(begun);
  ASSERT_TRUE(host.kill_daemon());
  ASSERT_TRUE(host.run_until([&] { return ended.has_value(); }));
  ASSERT_FALSE(*ended);
  EXPECT_EQ(ended->error().code, ECONNRESET) << ended->error().message;
}

TEST_P(LibraryOnTheDaemon, GoesThroughAnUpdate) {
  std::optional<client::Client::State> state;
  std::optional<client::Session> incoming;
  std::optional<client::Operation> retrieving;
  bool restored = false;
  client::Client::Callbacks callbacks;
  callbacks.registered = [&](client::Client::State now) { state = now; };
  callbacks.restore = [&](client::Call call) {
    auto session = connection->get_session("db");
    ASSERT_TRUE(session);
    incoming.emplace(std::move(*session));
    auto held = std::make_shared<client::Call>(std::move(call));
    auto begun = incoming->retrieve_async(1, [&, held](const client::Result<client::Fd>& fd) {
      restored = static_cast<bool>(fd);
      held->done();
    });
    ASSERT_TRUE(begun);
    retrieving.emplace(std::move(*begun));
  };
  auto registered = client::Client::register_async(*connection, "db", {}, std::move(callbacks));
  ASSERT_TRUE(registered) << registered.error().message;
  ASSERT_TRUE(host.run_until([&] { return state.has_value(); }));
  EXPECT_EQ(*state, HANDOVER_CLIENT_NEW);
  auto session = create("db", "db");
  const auto memory = memory_with(1, 10'000);
  ASSERT_TRUE(preserve(session, 1, memory.get()));
  host.update_ends("done");
  EXPECT_TRUE(restored);
  EXPECT_EQ(*state, HANDOVER_CLIENT_RESTORING);

  const auto gone = result_of<void>([&](auto done) { return registered->unregister_async(done); });
  EXPECT_TRUE(gone) << gone.error().message;
  EXPECT_TRUE(host.list_clients().empty());
}

/// What one who only looks has seen.
struct Seen {
  std::vector<std::string> states;
  std::uint64_t generation = 0;
  std::vector<std::string> phases;
  unsigned percent = 0;
  std::vector<std::string> outcomes;
  std::string reason;
  std::vector<std::string> lost;
  unsigned away = 0;

  client::Watch::Callbacks callbacks() {
    client::Watch::Callbacks made;
    made.status = [this](const std::string& state, std::uint64_t now) {
      if (states.empty() || states.back() != state) states.push_back(state);
      generation = now;
    };
    made.progress = [this](const std::string& phase, unsigned part, const std::string&) {
      if (phases.empty() || phases.back() != phase) phases.push_back(phase);
      percent = part;
    };
    made.finished = [this](const std::string& outcome, const std::string& why, std::uint64_t) {
      outcomes.push_back(outcome);
      reason = why;
    };
    made.lost = [this](const std::string& session, const std::string&, const std::string&) {
      lost.push_back(session);
    };
    made.disconnected = [this](const client::Error&) { ++away; };
    return made;
  }
  [[nodiscard]] bool was(const std::string& state) const {
    return std::find(states.begin(), states.end(), state) != states.end();
  }
};

TEST_P(LibraryOnTheDaemon, AWatchSeesUpdatesAndLosses) {
  Seen seen;
  auto watch = client::Watch::make(*connection, seen.callbacks());
  ASSERT_TRUE(watch) << watch.error().message;
  ASSERT_TRUE(host.run_until([&] { return !seen.states.empty(); }));
  EXPECT_EQ(seen.states, std::vector<std::string>{"normal"});

  // One that is refused.
  auto& other = host.add({.name = "other"});
  other.start();
  ASSERT_TRUE(other.started());
  other.once(Call::freeze, ScriptedClient::Behaviour::veto);
  host.update_ends("failed");
  ASSERT_TRUE(host.run_until([&] { return seen.outcomes.size() == 1; }));
  EXPECT_EQ(seen.outcomes.back(), "failed");
  EXPECT_NE(seen.reason.find("other"), std::string::npos) << seen.reason;
  EXPECT_TRUE(seen.was("freezing"));
  EXPECT_FALSE(seen.phases.empty());

  // And one whose client does not ask for its state. Nobody waits for the watch.
  ASSERT_TRUE(host.admin()
                  .call(manager_path, manager_interface, "CreateSession",
                        with("sa{sv}", "lost", 1, "client", "s", "other"))
                  .ok());
  const auto memory = memory_with(1, 10'000);
  ASSERT_TRUE(host.preserve("lost", 1, memory.get()).ok());
  other.once(Call::restore, ScriptedClient::Behaviour::hold);
  auto& last = host.add({.name = "last"});
  last.start();
  ASSERT_TRUE(last.started());
  last.once(Call::restore, ScriptedClient::Behaviour::hold);
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] {
    return other.holds() && last.holds() && seen.generation == 1 &&
           seen.states.back() == "restoring";
  }));
  EXPECT_TRUE(seen.lost.empty());
  other.let_go();
  ASSERT_TRUE(host.run_until([&] { return !seen.lost.empty(); }));
  EXPECT_EQ(seen.lost, std::vector<std::string>{"lost"});
  last.let_go();
  ASSERT_TRUE(host.run_until([&] { return seen.outcomes.size() == 2; }));
  EXPECT_EQ(seen.outcomes.back(), "done-with-losses");
  EXPECT_NE(seen.reason.find("lost"), std::string::npos) << seen.reason;
  EXPECT_GE(seen.away, 1U) << "the daemon is executed again";
  const auto listed = host.list_clients();
  EXPECT_EQ(listed.size(), 2U) << "a watch is no client";
}

TEST_P(LibraryOnTheDaemon, AWatchMayBeEndedByItsCallback) {
  std::optional<client::Watch> watch;
  int told = 0;
  client::Watch::Callbacks callbacks;
  callbacks.status = [&watch, &told, held = std::string(100, 'x')](const std::string&,
                                                                   std::uint64_t) {
    watch.reset();
    told += held.size() == 100 ? 1 : 0;
  };
  auto made = client::Watch::make(*connection, std::move(callbacks));
  ASSERT_TRUE(made);
  watch.emplace(std::move(*made));
  ASSERT_TRUE(host.run_until([&] { return told > 0; }));
  // Nobody on this connection wants the frequent signals any more; the observer does.
  EXPECT_TRUE(host.run_until([&] { return host.statistic("subscribers") == 1; }));
  host.update_ends("done");
  EXPECT_EQ(told, 1);
}

INSTANTIATE_TEST_SUITE_P(By, LibraryOnTheDaemon, testing::Bool(), [](const auto& tested) {
  return tested.param ? std::string("PrivateSocket") : std::string("Bus");
});

}  // namespace
}  // namespace handover::test

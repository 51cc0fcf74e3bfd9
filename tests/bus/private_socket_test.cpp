// SPDX-License-Identifier: LGPL-2.1-or-later
// The private socket: the same interfaces without a bus, for clients that are back before it is.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "host.h"
#include "memory.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

TEST(PrivateSocket, IsForItsOwnerOnly) {
  Host host;
  host.boot();
  struct stat status {};
  ASSERT_EQ(stat(host.directory().path("run/private").c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST(PrivateSocket, ServesTheSameObjects) {
  Host host;
  host.boot();
  ASSERT_TRUE(host.create_session("one").ok());
  Connection peer(host.loop(), host.private_address());
  const auto introspect = [](Connection& by, const std::string& path) {
    return by.call(path, "org.freedesktop.DBus.Introspectable", "Introspect").text();
  };
  for (const auto& path : {std::string(manager_path), session_path("one")}) {
    const auto there = introspect(peer, path);
    EXPECT_FALSE(there.empty());
    EXPECT_EQ(there, introspect(host.admin(), path));
  }
}

class OnPrivateSocket : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    direct = &host.add({.name = "direct"}, host.private_address());
    on_bus = &host.add({.name = "on-bus", .needs = {"direct"}});
    direct->keep("direct", 1, 1, 30'000);
    on_bus->keep("on-bus", 1, 2, 30'000);
    ASSERT_TRUE(host.start_clients());
    sessions = host.list_sessions();
  }

  void expect_update_works() {
    const auto before = direct->memory()[0].retrieved;
    const auto updated = host.update();
    ASSERT_TRUE(updated.ok()) << updated.error << ": " << updated.message;
    const auto finished = host.finished();
    EXPECT_EQ(finished.outcome, "done") << finished.reason;
    EXPECT_EQ(direct->memory()[0].retrieved, before + 1);
    EXPECT_EQ(on_bus->memory()[0].retrieved, before + 1);
    ASSERT_TRUE(host.run_until([&] { return host.list_sessions() == sessions; }));
    host.expect_calm();
  }

  Host host{{{"thaw_timeout", "20s"}}};
  ScriptedClient* direct = nullptr;
  ScriptedClient* on_bus = nullptr;
  std::vector<ListedSession> sessions;
};

TEST_F(OnPrivateSocket, AClientGoesThroughUpdates) {
  expect_update_works();
  expect_update_works();
  EXPECT_EQ(direct->states(), (std::vector<std::string>{"new", "restoring", "restoring"}));
}

/// The connection ends with the daemon's process; the client is thawed on its next one.
TEST_F(OnPrivateSocket, AClientIsThawedAfterACrash) {
  ASSERT_TRUE(host.update_held_by(*direct, Call::freeze));
  ASSERT_TRUE(host.kill_daemon());
  EXPECT_EQ(host.finished().outcome, "failed");
  EXPECT_EQ(direct->states().back(), "thawing");
  EXPECT_EQ(host.journal().count("direct", Call::thaw), 1U);
  EXPECT_EQ(host.journal().count("on-bus", Call::thaw), 1U);
  host.expect_calm();
  direct->on(Call::freeze, Behaviour::answer);
  expect_update_works();
}

TEST_F(OnPrivateSocket, AClientIsToldThatAPreparedUpdateIsOff) {
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  ASSERT_TRUE(host.kill_daemon());
  EXPECT_EQ(host.finished().outcome, "failed");
  ASSERT_TRUE(host.run_until([&] { return direct->states().size() == 2; }));
  EXPECT_EQ(host.journal().count("direct", Call::cancel), 1U);
  host.expect_calm();
  expect_update_works();
}

/// Numbers of connections begin anew with each daemon: nobody is taken for somebody else.
TEST_F(OnPrivateSocket, AnotherPeerIsNotTakenForTheClient) {
  direct->stay_away();
  ASSERT_TRUE(host.update_held_by(*direct, Call::freeze));
  host.manager().set_restarts(false);
  host.manager().kill_daemon();
  ASSERT_TRUE(host.run_until([&] { return !host.manager().running(); }));
  direct->die();
  host.manager().set_restarts(true);
  host.boot();
  // The first connection of the new daemon, as the client's was of the old one.
  Journal other_journal;
  ScriptedClient stranger(host.loop(), other_journal, host.private_address(), {.name = "stranger"});
  stranger.start();
  ASSERT_TRUE(host.run_until([&] { return host.state() == "thawing"; }));
  direct->on(Call::freeze, Behaviour::answer);
  direct->come_back();
  EXPECT_EQ(host.finished().outcome, "failed");
  EXPECT_EQ(direct->states().back(), "thawing");
  EXPECT_EQ(host.journal().count("direct", Call::thaw), 1U);
  EXPECT_TRUE(other_journal.entries().empty());
}

TEST(SystemBus, MayGoAndComeBack) {
  Host host;
  host.boot();
  auto& direct = host.add({.name = "direct"}, host.private_address());
  auto& on_bus = host.add({.name = "on-bus"});
  direct.keep("direct", 1, 1, 1000);
  on_bus.keep("on-bus", 1, 2, 1000);
  ASSERT_TRUE(host.start_clients());
  Observer peer(host.loop(), host.private_address());
  ASSERT_TRUE(host.update_held_by(on_bus, Call::prepare));
  on_bus.die();
  host.restart_bus();
  // The client left with the bus.
  const auto ended = peer.next("UpdateFinished");
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->arguments.at(0), "failed");
  ASSERT_TRUE(host.run_until([&] { return host.serves(); }));
  on_bus.on(Call::prepare, Behaviour::answer);
  on_bus.come_back();
  ASSERT_TRUE(on_bus.started());
  EXPECT_EQ(host.list_sessions().size(), 2U);
  ASSERT_TRUE(host.update().ok());
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_EQ(direct.memory()[0].retrieved, 1U);
  EXPECT_EQ(on_bus.memory()[0].retrieved, 1U);
  host.expect_calm();
}

/// Two on one directory would write each other's manifest.
TEST(RuntimeDirectory, HasOneDaemon) {
  Host host;
  host.boot();
  ChildProcess::Setup setup;
  setup.argv = {HANDOVERD_PROGRAM,
                "--backend",
                "emulated",
                "--runtime-directory",
                host.directory().path("run"),
                "--state-directory",
                host.directory().path("state")};
  setup.environment = {"DBUS_SYSTEM_BUS_ADDRESS=" + host.bus().address()};
  setup.log = host.directory().path("second.log");
  std::optional<int> status;
  const ChildProcess second(host.loop(), setup, [&](int ended) { status = ended; });
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status));
  EXPECT_EQ(WEXITSTATUS(*status), 1);
  EXPECT_NE(text_of(setup.log).find("Another handoverd runs"), std::string::npos);
  EXPECT_EQ(host.state(), "normal");
}

/// A manifest that cannot be read costs what it said, not the daemon.
TEST(RuntimeDirectory, WithAGarbledManifest) {
  Host host;
  host.boot();
  ASSERT_TRUE(host.create_session("one").ok());
  host.manager().set_restarts(false);
  host.manager().kill_daemon();
  ASSERT_TRUE(host.run_until([&] { return !host.manager().running(); }));
  host.directory().write("run/manifest.json", "handover-manifest 1 5 00000000\nhello");
  host.manager().set_restarts(true);
  host.boot();
  EXPECT_EQ(host.state(), "normal");
  EXPECT_NE(host.manager().log().find("manifest"), std::string::npos);
  EXPECT_TRUE(host.create_session("two").ok());
}

}  // namespace
}  // namespace handover::test

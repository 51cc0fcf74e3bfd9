// SPDX-License-Identifier: LGPL-2.1-or-later
// The private socket: the same interfaces without a bus, for clients that are back before it is.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "host.h"
#include "memory.h"
#include "process.h"
#include "stranger.h"
#include "support/sanitized.h"
#include "wire.h"

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

std::uint64_t cpu_ticks_of(pid_t pid) {
  // utime and stime are the 14th and 15th field (proc(5)); the second may have blanks.
  std::istringstream fields(text_of("/proc/" + std::to_string(pid) + "/stat"));
  std::string field;
  while (std::getline(fields, field, ')')) {
    if (fields.peek() == ' ') break;
  }
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  for (int skipped = 0; skipped < 11; ++skipped) fields >> field;
  fields >> user >> system;
  return user + system;
}

/// Those who want to connect wait, and the daemon sleeps, until there is a descriptor again.
TEST(PrivateSocket, WaitsForADescriptor) {
  // UBSan makes a pipe to see whether memory is there, and calls it bad if it gets none.
  if (sanitized) GTEST_SKIP() << "the sanitizer needs descriptors itself";
  constexpr rlim_t descriptors = 48;
  Host host;
  host.manager().before_exec([] {
    const rlimit limit{descriptors, descriptors};
    setrlimit(RLIMIT_NOFILE, &limit);
  });
  host.boot();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto path = host.directory().path("run/private");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  std::vector<UniqueFd> peers;
  for (rlim_t i = 0; i < descriptors; ++i) {
    peers.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(peers.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof address),
              0);
  }
  ASSERT_TRUE(host.log_says("Too many open files"));
  const auto before = cpu_ticks_of(host.manager().pid());
  EXPECT_FALSE(host.loop().run_until([] { return false; }, std::chrono::milliseconds(1000)));
  // Of 100: it spun.
  EXPECT_LT(cpu_ticks_of(host.manager().pid()) - before, 30U);
  peers.clear();
  Connection peer(host.loop(), host.private_address());
  EXPECT_EQ(peer.get_property(manager_path, manager_interface, "State", "s").text(), "normal");
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
    host.update_ends("done");
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
  host.update_ends("done");
  EXPECT_EQ(direct.memory()[0].retrieved, 1U);
  EXPECT_EQ(on_bus.memory()[0].retrieved, 1U);
  host.expect_calm();
}

TEST(SystemBus, GivesOldNamesToOthersAfterARestart) {
  Host host;
  host.boot();
  std::vector<std::unique_ptr<Connection>> others;
  for (int i = 0; i < 8; ++i) {
    others.push_back(std::make_unique<Connection>(host.loop(), host.bus_address()));
    (void)others.back()->unique_name();  // waits for it
  }
  auto& gone = host.add({.name = "gone"});
  gone.keep("gone", 1, 1, 1000);
  ASSERT_TRUE(host.start_clients());
  const auto name = host.list_clients().at(0).bus_name;
  others.clear();
  gone.die();
  host.restart_bus();
  ASSERT_TRUE(host.run_until([&] { return host.serves(); }));
  // The daemon asks who this stranger is on a connection of its own, which has its name by then.
  ASSERT_EQ(host.state(), "normal");
  // As many as it takes until the next one has the name.
  const auto before = ":1." + std::to_string(std::stoi(name.substr(3)) - 1);
  do {
    others.push_back(std::make_unique<Connection>(host.loop(), host.bus_address()));
    ASSERT_LT(others.size(), 20U);
  } while (others.back()->unique_name() != before);
  Journal journal;
  ScriptedClient stranger(host.loop(), journal, host.bus_address(), {.name = "stranger"});
  stranger.start();
  ASSERT_TRUE(stranger.started());
  for (const auto& client : host.list_clients()) {
    EXPECT_EQ(client.bus_name, client.name == "stranger" ? name : "") << client.name;
  }
  // The one that is gone is required: nobody is asked in its place.
  const auto refused = host.update();
  EXPECT_NE(refused.message.find("'gone'"), std::string::npos) << refused.message;
  EXPECT_TRUE(journal.entries().empty());
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
  EXPECT_TRUE(host.log_says("manifest"));
  EXPECT_TRUE(host.create_session("two").ok());
}

// ---- answers that nobody reads

/// A history of nearly 4 MiB, which is the most that an answer has.
class LongHistory : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    host.update_ends("done");
    const auto path = host.directory().path("state/history.json");
    auto history = nlohmann::json::parse(text_of(path));
    constexpr std::size_t losses = 7000;
    const std::string sentence(500, 'x');
    auto& entry = history.at(0);
    for (std::size_t i = 0; i < losses; ++i) entry["losses"].push_back(sentence);
    host.directory().write("state/history.json", history.dump());
    ASSERT_TRUE(host.kill_daemon());
    const auto answer = ask_for_history();
    ASSERT_TRUE(answer.ok()) << answer.message;
    ASSERT_GT(answer.text().size(), losses * sentence.size());
  }
  Answer ask_for_history() {
    return host.admin().call(manager_path, manager_interface, "GetHistory", with("u", 1U));
  }

  Host host;
};

TEST_F(LongHistory, ThatAPeerDoesNotReadCostsTheDaemonLittle) {
  constexpr std::uint32_t calls = 1000;
  constexpr std::size_t much = std::size_t{100} << 20U;
  const auto before = resident_bytes(host.manager().pid());
  Stranger peer(host.directory().path("run/private"));
  peer.greet();
  for (std::uint32_t serial = 1; serial <= calls; ++serial) {
    peer.write(call_bytes(serial, "GetHistory", "u", wire::Writer().number(UINT32_C(1)).bytes()));
  }
  // Others are answered meanwhile, also those who want the same.
  Connection other(host.loop(), host.private_address());
  constexpr int rounds = 30;
  for (int round = 0; round < rounds; ++round) {
    EXPECT_TRUE(other.get_property(manager_path, manager_interface, "State", "s").ok());
    peer.write();
    bool over = false;
    const auto timer = host.loop().after(std::chrono::milliseconds(100), [&] { over = true; });
    ASSERT_TRUE(host.run_until([&] { return over; }));
    if (!sanitized) {
      ASSERT_LT(resident_bytes(host.manager().pid()), before + much);
    }
  }
  EXPECT_TRUE(host.run_until([&] { return ask_for_history().ok(); }));
  // When it reads, it gets its answers: some in full, and for the others the advice to read first.
  std::size_t got = 0;
  std::size_t refused = 0;
  std::string tail;
  const auto read_on = [&] {
    for (auto bytes = peer.read(); !bytes.empty(); bytes = peer.read()) {
      got += bytes.size();
      tail += bytes;
      const auto busy = error_name("Busy");
      for (auto at = tail.find(busy); at != std::string::npos; at = tail.find(busy, at + 1)) {
        ++refused;
      }
      tail.erase(0, tail.size() - std::min(tail.size(), busy.size() - 1));
    }
  };
  constexpr std::size_t one_answer = 3'500'000;
  int left = 6000;
  for (; left > 0 && (refused < 100 || got < one_answer); --left) {
    read_on();
    bool over = false;
    const auto timer = host.loop().after(std::chrono::milliseconds(10), [&] { over = true; });
    ASSERT_TRUE(host.run_until([&] { return over; }));
  }
  EXPECT_GT(left, 0) << refused << " refused, " << got << " bytes";
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// `kill -9` of the daemon: in each state, and at every instant of an update that the world can see.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/manifest.h"
#include "host.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

/// "base" ← "middle" ← "top", each with a session of two memfds; a host whose daemon can be held.
class Crash : public testing::Test {
 protected:
  explicit Crash(const char* thaw_timeout = "1min") : host{{{"thaw_timeout", thaw_timeout}}} {}

  void SetUp() override {
    host.gate();
    host.boot();
    base = &host.add({.name = "base"});
    middle = &host.add({.name = "middle", .needs = {"base"}});
    top = &host.add({.name = "top", .needs = {"middle"}});
    std::uint64_t seed = 1;
    for (auto& client : host.clients()) {
      client->keep(client->name(), 1, seed++, 20'000);
      client->keep(client->name(), 2, seed++, 70'000);
    }
    ASSERT_TRUE(host.start_clients());
    sessions = host.list_sessions();
    ASSERT_EQ(sessions.size(), 3U);
  }

  /// Kills the daemon when `now` says so, at the next stop of its own.
  void kill_when(std::function<bool(SyscallGate::Stop)> now) {
    killed = false;
    deaths = host.manager().deaths();
    host.gate().decide([this, now = std::move(now)](SyscallGate::Stop stop) {
      if (killed || !now(stop)) return true;
      killed = true;
      return false;
    });
  }

  [[nodiscard]] bool killed_and_back() {
    return host.run_until([&] { return killed && host.manager().deaths() > deaths; }) &&
           host.run_until([&] { return host.serves(); });
  }

  /// The last word that the daemon left for its successor.
  [[nodiscard]] std::optional<State> state_on_disk() const {
    const auto manifest = parse_manifest(text_of(host.directory().path("run/manifest.json")));
    if (!manifest) return std::nullopt;
    return manifest->state;
  }

  /// Without asking the daemon, whose answers would be stops too.
  [[nodiscard]] bool over() {
    return host.observer().all("UpdateFinished").size() == 1 &&
           std::all_of(host.clients().begin(), host.clients().end(),
                       [](const auto& client) { return client->preserved(); });
  }

  [[nodiscard]] bool settled() {
    // The daemon knows its clients from what it wrote down; they come back a moment later.
    const bool back = std::all_of(host.clients().begin(), host.clients().end(),
                                  [](const auto& client) { return client->preserved(); });
    if (!back || host.state() != "normal" || host.list_sessions() != sessions) return false;
    // The end of an update is told when its record is on disk.
    const auto job = host.admin().get_property(manager_path, manager_interface, "CurrentJob", "o");
    if (job.text() != "/") return false;
    const auto listed = host.list_clients();
    return std::all_of(listed.begin(), listed.end(), [](const ListedClient& client) {
      return !client.bus_name.empty() && client.phase == "idle";
    });
  }

  /// After whatever happened: all run, all is preserved, nothing was lost, nothing leaked.
  void expect_whole() {
    EXPECT_TRUE(host.run_until([&] { return settled(); }));
    EXPECT_EQ(host.list_sessions(), sessions);
    host.expect_calm();
    EXPECT_TRUE(host.run_until(
        [&] { return text_of(host.directory().path("state/pending.json")).empty(); }));
    for (const auto& lost : host.observer().all("StateLost")) ADD_FAILURE() << lost.arguments.at(2);
    // Each session and its two memfds, once; nothing else.
    const auto stored = host.manager().stored_names();
    EXPECT_EQ(stored.size(), 9U) << testing::PrintToString(stored);
    EXPECT_EQ(std::set<std::string>(stored.begin(), stored.end()).size(), 9U)
        << testing::PrintToString(stored);
    std::set<std::uint64_t> ids;
    for (const auto& entry : host.history()) {
      EXPECT_TRUE(ids.insert(entry["id"].get<std::uint64_t>()).second)
          << "two records of one update";
      EXPECT_TRUE(entry["outcome"] == "failed" || entry["outcome"] == "done") << entry;
    }
  }

  /// The proof that everything is still there: an update that gives it back.
  void expect_update_works() {
    host.gate().decide({});
    std::vector<unsigned> before;
    for (const auto& client : host.clients()) before.push_back(client->memory()[0].retrieved);
    host.observer().clear();
    host.update_ends("done");
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(host.clients()[i]->memory()[0].retrieved, before[i] + 1);
      EXPECT_EQ(host.clients()[i]->memory()[1].retrieved, before[i] + 1);
    }
    expect_whole();
  }

  void update_in_the_background() {
    host.admin().send(manager_path, manager_interface, "Update", with("a{sv}", 0), [](auto) {});
  }

  Host host;
  ScriptedClient* base = nullptr;
  ScriptedClient* middle = nullptr;
  ScriptedClient* top = nullptr;
  std::vector<ListedSession> sessions;
  bool killed = false;
  unsigned deaths = 0;
};

/// A state in which a client's silence holds the daemon.
struct Held {
  Call call;
  const char* state;
};

class CrashInState : public Crash, public testing::WithParamInterface<Held> {};

TEST_P(CrashInState, EndsInNormal) {
  const auto [call, state] = GetParam();
  const std::string wanted = state;
  middle->on(call, Behaviour::hold);
  if (wanted == "cancelling") top->on(Call::prepare, Behaviour::veto);
  if (wanted == "thawing") base->on(Call::freeze, Behaviour::veto);
  ASSERT_TRUE((wanted == "prepared" ? host.prepare() : host.update()).ok());
  if (wanted == "prepared") {
    ASSERT_TRUE(host.reaches("prepared"));
  } else {
    ASSERT_TRUE(host.run_until([&] { return middle->holds(); }));
  }
  ASSERT_EQ(host.state(), state);
  middle->on(call, Behaviour::answer);
  host.observer().clear();
  host.journal().clear();
  ASSERT_TRUE(host.kill_daemon());

  const auto finished = host.finished();
  if (wanted == "restoring") {
    EXPECT_EQ(finished.outcome, "done") << finished.reason;
    EXPECT_EQ(host.journal().count("middle", Call::restore), 1U);
    EXPECT_EQ(host.journal().count("base", Call::restore), 0U);  // it was before
    EXPECT_EQ(host.journal().count(Call::thaw), 0U);
  } else {
    EXPECT_EQ(finished.outcome, "failed");
    EXPECT_NE(finished.reason.find("restarted"), std::string::npos) << finished.reason;
    EXPECT_NE(finished.reason.find(wanted), std::string::npos) << finished.reason;
    const bool frozen = wanted == "freezing" || wanted == "thawing";
    EXPECT_EQ(host.journal().count(frozen ? Call::thaw : Call::cancel), 3U);
    EXPECT_EQ(host.journal().count(frozen ? Call::cancel : Call::thaw), 0U);
    const Journal::Needs needs{{"base", {}}, {"middle", {"base"}}, {"top", {"middle"}}};
    EXPECT_EQ(host.journal().out_of_order(frozen ? Call::thaw : Call::cancel, needs, false), "");
  }
  top->on(Call::prepare, Behaviour::answer);
  base->on(Call::freeze, Behaviour::answer);
  expect_whole();
  expect_update_works();
}

INSTANTIATE_TEST_SUITE_P(
    States, CrashInState,
    testing::Values(Held{Call::prepare, "preparing"}, Held{Call::cancel, "prepared"},
                    Held{Call::cancel, "cancelling"}, Held{Call::freeze, "freezing"},
                    Held{Call::thaw, "thawing"}, Held{Call::restore, "restoring"}),
    [](const auto& held) { return held.param.state; });

/// These last for no longer than the daemon takes to write them down: it is held at the next thing
/// it does.
class CrashInPassing : public Crash, public testing::WithParamInterface<State> {};

TEST_P(CrashInPassing, EndsInNormal) {
  kill_when([&](SyscallGate::Stop) { return state_on_disk() == GetParam(); });
  update_in_the_background();
  ASSERT_TRUE(killed_and_back());
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find(to_string(GetParam())), std::string::npos) << finished.reason;
  EXPECT_EQ(host.journal().count(Call::thaw), 3U);
  EXPECT_EQ(host.journal().count(Call::restore), 0U);
  expect_whole();
  expect_update_works();
}

INSTANTIATE_TEST_SUITE_P(States, CrashInPassing, testing::Values(State::frozen, State::rebooting),
                         [](const auto& state) { return std::string(to_string(state.param)); });

TEST_F(Crash, InNormal) {
  ASSERT_TRUE(host.kill_daemon());
  expect_whole();
  EXPECT_TRUE(host.journal().entries().empty());
  expect_update_works();
}

TEST_F(Crash, AgainAndAgainWhileThawing) {
  base->on(Call::freeze, Behaviour::veto);
  base->on(Call::thaw, Behaviour::hold);
  ASSERT_TRUE(host.update().ok());
  for (unsigned i = 1; i <= 3; ++i) {
    ASSERT_TRUE(host.run_until([&] { return host.journal().count("base", Call::thaw) == i; }));
    ASSERT_TRUE(host.kill_daemon());
  }
  ASSERT_TRUE(host.run_until([&] { return host.journal().count("base", Call::thaw) == 4; }));
  base->on(Call::thaw, Behaviour::answer);
  base->on(Call::freeze, Behaviour::answer);
  base->let_go();
  EXPECT_EQ(host.finished().outcome, "failed");
  expect_whole();
  expect_update_works();
}

class CrashWithAClient : public Crash {
 protected:
  CrashWithAClient() : Crash("6s") {}
};

/// A client that died with the daemon does not hold the others up for longer than its time.
TEST_F(CrashWithAClient, DoesNotWaitForItForEver) {
  ASSERT_TRUE(host.update_held_by(*base, Call::freeze));
  host.manager().kill_daemon();
  middle->die();
  EXPECT_EQ(host.finished().outcome, "failed");
  EXPECT_FALSE(top->frozen());
  base->on(Call::freeze, Behaviour::answer);
  middle->come_back();
  ASSERT_TRUE(middle->started());
  expect_whole();
  expect_update_works();
}

/// Every file replaced, every message sent, and the re-execution: the daemon is killed before the
/// n-th of them, for every n; the cases share the numbers out.
class CrashAnywhere : public Crash, public testing::WithParamInterface<unsigned> {
 protected:
  static constexpr unsigned shares = 8;
};

TEST_P(CrashAnywhere, LosesNothing) {
  unsigned stops = 0;
  host.gate().decide([&](SyscallGate::Stop) {
    ++stops;
    return true;
  });
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] { return over(); }));
  const unsigned all = stops;
  ASSERT_EQ(host.finished().outcome, "done");
  ASSERT_GT(all, 50U);
  RecordProperty("stops", static_cast<int>(all));

  for (unsigned n = GetParam() + 1; n <= all; n += shares) {
    SCOPED_TRACE("killed before stop " + std::to_string(n) + " of " + std::to_string(all));
    host.observer().clear();
    unsigned count = 0;
    kill_when([&](SyscallGate::Stop) { return ++count == n; });
    update_in_the_background();
    // The number of messages varies a little: the last ones may not come.
    ASSERT_TRUE(host.run_until([&] { return killed || over(); }));
    if (!killed) host.gate().decide({});
    if (killed) {
      ASSERT_TRUE(killed_and_back());
    }
    expect_whole();
    if (HasFailure()) return;
  }
  expect_update_works();
}

INSTANTIATE_TEST_SUITE_P(Shares, CrashAnywhere, testing::Range(0U, 8U));

/// The service manager would kill a daemon that it does not hear of.
TEST(Watchdog, IsFedAlsoAfterAnUpdate) {
  Host host;
  host.manager().watch(std::chrono::milliseconds(200));
  host.boot();
  EXPECT_TRUE(host.run_until([&] { return host.manager().watchdog_fed() >= 2; }));
  host.update_ends("done");
  const auto before = host.manager().watchdog_fed();
  EXPECT_TRUE(host.run_until([&] { return host.manager().watchdog_fed() >= before + 2; }));
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Every change is told: signals and property changes, as busctl monitor shows them.
#include <gtest/gtest.h>

#include <algorithm>

#include "host.h"
#include "memory.h"

namespace handover::test {
namespace {

using States = std::vector<std::string>;

/// What one update tells, on either way to the daemon.
void expect_whole_story(Host& host, Observer& observer, const std::string& job) {
  EXPECT_EQ(observer.states(), (States{"preparing", "prepared", "freezing", "frozen", "rebooting",
                                       "restoring", "normal"}));
  const auto added = observer.all("JobNew");
  ASSERT_EQ(added.size(), 2U);  // and again by the daemon in the "new kernel"
  for (const auto& signal : added) {
    EXPECT_EQ(signal.path, manager_path);
    EXPECT_EQ(signal.interface, manager_interface);
    EXPECT_EQ(signal.arguments.at(1), job);
    EXPECT_EQ(job, "/org/handover1/job/" + signal.arguments.at(0));
  }
  const auto removed = observer.all("JobRemoved");
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].arguments, (States{added[0].arguments.at(0), job, "done", ""}));
  EXPECT_EQ(observer.all("UpdateFinished").at(0).arguments, (States{"done", "", "1"}));
  EXPECT_EQ(observer.all("Generation").back().arguments.at(0), "1");

  const auto current = observer.all("CurrentJob");
  EXPECT_EQ(current.front().arguments.at(0), job);
  EXPECT_EQ(current.back().arguments.at(0), "/");

  // Progress of the whole only grows.
  unsigned before = 0;
  States phases;
  for (const auto& signal : observer.signals()) {
    if (signal.interface != job_interface) continue;
    EXPECT_EQ(signal.path, job);
    if (signal.member == "Phase" && (phases.empty() || phases.back() != signal.arguments[0])) {
      phases.push_back(signal.arguments[0]);
    }
    if (signal.member != "Progress") continue;
    const auto progress = static_cast<unsigned>(std::stoul(signal.arguments[0]));
    EXPECT_GE(progress, before);
    EXPECT_LE(progress, 100U);
    before = progress;
  }
  EXPECT_GE(before, 90U);
  EXPECT_GE(phases.size(), 5U);
  EXPECT_NE(std::find(phases.begin(), phases.end(), "collapse"), phases.end());

  States client;
  for (const auto& signal : observer.all("ClientChanged")) {
    EXPECT_EQ(signal.arguments.at(0), "client");
    client.push_back(signal.arguments.at(1));
  }
  const States expected{"preparing", "prepared", "freezing", "frozen", "restored", "idle"};
  // It also tells of each registration; in the "new kernel" the client may register before the
  // observer has subscribed.
  std::erase(client, "restoring");
  client.erase(std::unique(client.begin(), client.end()), client.end());
  EXPECT_EQ(client, expected);
  EXPECT_EQ(host.state(), "normal");
}

TEST(Signals, TellAWholeUpdate) {
  Host host;
  host.boot();
  auto& client = host.add({.name = "client"});
  client.keep("memory", 5, 1, 10'000);
  ASSERT_TRUE(host.start_clients());
  EXPECT_EQ(host.observer().next("ClientAdded")->arguments, States{"client"});
  EXPECT_EQ(host.observer().next("SessionAdded")->arguments,
            (States{"memory", session_path("memory")}));
  EXPECT_EQ(host.observer().next("Tokens")->path, session_path("memory"));
  host.observer().clear();

  const auto job = host.update();
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(host.finished().outcome, "done");
  ASSERT_TRUE(host.observer().wait_for("SessionAdded", "memory"));  // made anew
  expect_whole_story(host, host.observer(), job.text());
  EXPECT_EQ(host.observer().all("SessionRemoved").at(0).arguments,
            (States{"memory", session_path("memory")}));

  host.observer().clear();
  ASSERT_TRUE(client.started());
  ASSERT_TRUE(host.end_session("memory", "Discard").ok());
  EXPECT_EQ(host.observer().next("SessionRemoved")->arguments.at(0), "memory");
  client.die();
  EXPECT_EQ(host.observer().next("ClientRemoved")->arguments, States{"client"});
}

TEST(Signals, TellAPeerOfThePrivateSocketToo) {
  Host host;
  host.boot();
  Observer peer(host.loop(), host.private_address());
  ASSERT_TRUE(host.create_session("one").ok());
  EXPECT_EQ(peer.next("SessionAdded")->arguments, (States{"one", session_path("one")}));
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(peer.wait_for("State", "prepared"));
  ASSERT_TRUE(host.cancel().ok());
  EXPECT_EQ(peer.next("UpdateFinished")->arguments.at(0), "cancelled");
  EXPECT_EQ(peer.states(), (States{"preparing", "prepared", "cancelling", "normal"}));
}

TEST(Signals, TellOfTokens) {
  Host host;
  host.boot();
  ASSERT_TRUE(host.create_session("one").ok());
  host.observer().clear();
  const auto memory = memory_with(1, 100);
  ASSERT_TRUE(host.preserve("one", 7, memory.get()).ok());
  const auto added = host.observer().next("TokenAdded");
  ASSERT_TRUE(added);
  EXPECT_EQ(added->path, session_path("one"));
  EXPECT_EQ(added->interface, session_interface);
  EXPECT_EQ(added->arguments, States{"7"});
  // However many there are: who wants them asks.
  EXPECT_EQ(host.observer().next("Tokens")->arguments, States{"invalidated"});
  ASSERT_TRUE(
      host.admin()
          .call(session_path("one"), session_interface, "Unpreserve", with("t", UINT64_C(7)))
          .ok());
  const auto removed = host.observer().next("TokenRemoved");
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->path, session_path("one"));
  EXPECT_EQ(removed->arguments, States{"7"});
}

/// What one update tells that not everybody hears.
std::size_t frequent(const Observer& observer) {
  const auto& signals = observer.signals();
  return static_cast<std::size_t>(
      std::count_if(signals.begin(), signals.end(), [](const Signal& signal) {
        return signal.member == "ClientChanged" || signal.member.starts_with("Token") ||
               signal.interface == job_interface;
      }));
}

class Subscriptions : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    client = &host.add({.name = "client"});
    client->keep("memory", 5, 1, 10'000);
    ASSERT_TRUE(host.start_clients());
  }
  /// And all of it has come.
  void prepare_and_cancel() {
    ASSERT_TRUE(host.prepare().ok());
    ASSERT_TRUE(host.run_until([&] { return host.state() == "prepared"; }));
    ASSERT_TRUE(host.cancel().ok());
    ASSERT_EQ(host.finished().outcome, "cancelled");
    host.loop().run_pending();
  }

  Host host;
  ScriptedClient* client = nullptr;
};

TEST_F(Subscriptions, OnTheBusDecideWhatHappensOften) {
  Observer other(host.loop(), host.bus_address(), Observer::Subscription::no);
  host.observer().clear();
  // What is sent to one there is sent to all who match it.
  prepare_and_cancel();
  EXPECT_GT(frequent(host.observer()), 0U);
  EXPECT_EQ(frequent(other), frequent(host.observer()));

  host.observer().unsubscribe();
  host.observer().clear();
  other.clear();
  prepare_and_cancel();
  EXPECT_EQ(frequent(host.observer()), 0U);
  EXPECT_EQ(frequent(other), 0U);
  // The rest is told to everybody.
  EXPECT_EQ(other.states(), (States{"preparing", "prepared", "cancelling", "normal"}));
  EXPECT_EQ(other.all("JobNew").size(), 1U);
  EXPECT_EQ(other.all("JobRemoved").size(), 1U);
  EXPECT_EQ(other.all("UpdateFinished").size(), 1U);
}

TEST_F(Subscriptions, EndWithTheConnection) {
  auto subscriber = std::make_unique<Observer>(host.loop(), host.bus_address());
  host.observer().unsubscribe();
  prepare_and_cancel();
  EXPECT_GT(frequent(host.observer()), 0U);
  subscriber.reset();
  host.observer().clear();
  // The bus tells the daemon that it has left before it passes on what comes later.
  prepare_and_cancel();
  EXPECT_EQ(frequent(host.observer()), 0U);
}

TEST_F(Subscriptions, AreEachDirectPeersOwn) {
  Observer silent(host.loop(), host.private_address(), Observer::Subscription::no);
  Observer first(host.loop(), host.private_address());
  Observer second(host.loop(), host.private_address());
  prepare_and_cancel();
  ASSERT_TRUE(first.wait_for("UpdateFinished", "cancelled"));
  ASSERT_TRUE(second.wait_for("UpdateFinished", "cancelled"));
  EXPECT_TRUE(silent.signals().empty());
  EXPECT_EQ(first.states(), (States{"preparing", "prepared", "cancelling", "normal"}));
  EXPECT_GT(frequent(first), 0U);
  ASSERT_EQ(first.signals().size(), second.signals().size());
  for (std::size_t i = 0; i < first.signals().size(); ++i) {
    EXPECT_EQ(first.signals()[i].member, second.signals()[i].member);
    EXPECT_EQ(first.signals()[i].arguments, second.signals()[i].arguments);
  }
  // Its calls are answered as ever.
  first.unsubscribe();
  first.clear();
  second.clear();
  prepare_and_cancel();
  ASSERT_TRUE(second.wait_for("UpdateFinished", "cancelled"));
  EXPECT_TRUE(first.signals().empty());
}

TEST(Job, IsAnObjectWhileItRuns) {
  Host host;
  host.boot();
  auto& client = host.add({.name = "client"});
  ASSERT_TRUE(host.start_clients());
  const auto job = host.update_held_by(client, Call::prepare);
  ASSERT_TRUE(job);
  const auto& path = *job;
  EXPECT_EQ(host.admin().get_property(path, job_interface, "Type", "s").text(), "update");
  EXPECT_EQ(host.admin().get_property(path, job_interface, "Phase", "s").text(), "prepare");
  EXPECT_FALSE(host.admin().get_property(path, job_interface, "Detail", "s").text().empty());
  EXPECT_EQ(host.admin()
                .get_property(path.substr(0, path.rfind('/')) + "/999", job_interface, "Type", "s")
                .error,
            "org.freedesktop.DBus.Error.UnknownObject");
  client.let_go();
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_EQ(host.admin().get_property(path, job_interface, "Type", "s").error,
            "org.freedesktop.DBus.Error.UnknownObject");
}

}  // namespace
}  // namespace handover::test

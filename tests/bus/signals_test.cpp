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
  const States expected{"preparing", "prepared", "freezing", "frozen",
                        "restoring", "restored", "idle"};
  // It also tells of each registration.
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

// SPDX-License-Identifier: LGPL-2.1-or-later
// A kexec that ended in a cold boot: neither /run nor preserved memory came along.
#include <gtest/gtest.h>

#include <filesystem>

#include "host.h"

namespace handover::test {
namespace {

/// "base" ← "top", each with a session; an update that is held in "freezing".
class ColdBoot : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    auto& base = host.add({.name = "base"});
    auto& top = host.add({.name = "top", .needs = {"base"}});
    base.keep("memory", 1, 1, 20'000);
    top.keep("device", 1, 2, 20'000);
    ASSERT_TRUE(host.start_clients());
    ASSERT_EQ(text_of(pending), "");
    ASSERT_TRUE(host.update_held_by(base, Call::freeze));
    ASSERT_NE(text_of(pending), "");
  }

  /// The host, its clients with it, is gone from one instant to the next.
  void cut_power() {
    host.manager().set_restarts(false);
    host.manager().kill_daemon();
    ASSERT_TRUE(host.run_until([&] { return !host.manager().running(); }));
    for (auto& client : host.clients()) client->die();
    host.manager().lose_store();
    std::filesystem::remove_all(host.directory().path("run"));
    host.observer().clear();
  }

  /// The daemon asks the kernel for its boot's id, and that cannot be another one here: the record
  /// says instead that it was written in another boot.
  void be_of_another_boot() const {
    auto json = nlohmann::json::parse(text_of(pending));
    json["boot_id"] = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    host.directory().write("state/pending.json", json.dump());
  }

  void expect_told_once() {
    const auto finished = host.finished();
    EXPECT_EQ(finished.outcome, "failed");
    EXPECT_NE(finished.reason.find("did not bring the state along"), std::string::npos)
        << finished.reason;
    EXPECT_EQ(host.state(), "normal");
    EXPECT_EQ(host.generation(), 0U);
    std::vector<std::vector<std::string>> lost;
    for (const auto& signal : host.observer().all("StateLost")) lost.push_back(signal.arguments);
    ASSERT_EQ(lost.size(), 2U);
    EXPECT_EQ(lost[0].at(0), "device");
    EXPECT_EQ(lost[0].at(1), "top");
    EXPECT_EQ(lost[1].at(0), "memory");
    EXPECT_EQ(lost[1].at(1), "base");
    const auto history = host.history();
    ASSERT_EQ(history.size(), 1U);
    EXPECT_EQ(history[0]["outcome"], "failed");
    EXPECT_EQ(history[0]["reason"], finished.reason);
    EXPECT_EQ(history[0]["losses"].size(), 2U);
    EXPECT_EQ(text_of(pending), "");
  }

  Host host;
  const std::string pending = host.directory().path("state/pending.json");
};

TEST_F(ColdBoot, IsToldOfWithEachSession) {
  cut_power();
  be_of_another_boot();
  host.boot();
  expect_told_once();
}

TEST_F(ColdBoot, IsToldOfWhenItsRecordIsMounted) {
  cut_power();
  be_of_another_boot();
  const auto state = host.directory().path("state");
  std::filesystem::rename(state, state + ".disk");
  std::filesystem::create_symlink("nowhere", state);  // so that the daemon does not make it
  host.boot();
  EXPECT_EQ(host.history().size(), 0U);
  std::filesystem::remove(state);
  std::filesystem::rename(state + ".disk", state);
  expect_told_once();
}

TEST_F(ColdBoot, IsToldOfByADaemonThatDiedBeforeItCould) {
  cut_power();
  be_of_another_boot();
  const auto state = host.directory().path("state");
  std::filesystem::rename(state, state + ".disk");
  std::filesystem::create_symlink("nowhere", state);
  host.boot();
  host.manager().set_restarts(true);
  ASSERT_TRUE(host.kill_daemon());
  std::filesystem::remove(state);
  std::filesystem::rename(state + ".disk", state);
  expect_told_once();
}

TEST_F(ColdBoot, IsNotToldOfTwice) {
  cut_power();
  be_of_another_boot();
  const auto other = text_of(pending);
  host.boot();
  ASSERT_EQ(host.finished().outcome, "failed");
  // As if it had not been removed.
  host.directory().write("state/pending.json", other);
  host.observer().clear();
  cut_power();
  host.boot();
  EXPECT_EQ(host.history().size(), 1U);
  EXPECT_TRUE(host.observer().all("StateLost").empty());
  EXPECT_TRUE(host.run_until([&] { return text_of(pending).empty(); }));
}

TEST_F(ColdBoot, IsNotSeenInABootThatGoesOn) {
  cut_power();
  host.boot();
  EXPECT_EQ(host.history().size(), 0U);
  EXPECT_TRUE(host.observer().all("StateLost").empty());
}

TEST_F(ColdBoot, WithAGarbledRecordIsNotTheEnd) {
  cut_power();
  const auto record = text_of(pending);
  host.directory().write("state/pending.json", record.substr(0, record.size() / 2));
  host.boot();
  EXPECT_EQ(host.state(), "normal");
  EXPECT_EQ(host.history().size(), 0U);
  EXPECT_TRUE(host.log_says("pending.json is ignored"));
  // It does not stand in the next one's way.
  host.update_ends("done");
  EXPECT_EQ(text_of(pending), "");
}

TEST(ColdBootRecord, ThatCannotBeWrittenStopsNoUpdate) {
  Host host;
  host.boot();
  std::filesystem::create_directories(host.directory().path("state/pending.json/in-the-way"));
  host.update_ends("done");
  EXPECT_TRUE(host.log_says("nothing will tell of it"));
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// Cancelling, and asking for two updates at once, in each state.
#include <gtest/gtest.h>

#include <algorithm>

#include "host.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;
using States = std::vector<std::string>;

class Cancel : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    below = &host.add({.name = "below"});
    above = &host.add({.name = "above", .needs = {"below"}});
    below->keep("below", 1, 1, 5000);
    above->keep("above", 1, 2, 5000);
    ASSERT_TRUE(host.start_clients());
    sessions = host.list_sessions();
  }

  void expect_undone(const States& states) {
    const auto finished = host.finished();
    EXPECT_EQ(finished.outcome, "cancelled");
    EXPECT_EQ(finished.reason, "Cancelled on request.");
    EXPECT_EQ(host.observer().states(), states);
    EXPECT_EQ(host.list_sessions(), sessions);
    EXPECT_EQ(host.history()[0]["outcome"], "cancelled");
    EXPECT_EQ(host.journal().count(Call::restore), 0U);
    host.expect_calm();
    expect_nothing_to_cancel();
  }

  void expect_nothing_to_cancel() { EXPECT_EQ(host.cancel().error, error_name("NothingToCancel")); }

  /// A second update is refused, whoever asks and however; the first goes on.
  void expect_busy() {
    const auto before = host.state();
    EXPECT_EQ(host.update().error, error_name("Busy"));
    EXPECT_EQ(host.prepare().error, error_name("Busy"));
    EXPECT_EQ(host.state(), before);
  }

  Host host;
  ScriptedClient* below = nullptr;
  ScriptedClient* above = nullptr;
  std::vector<ListedSession> sessions;
};

TEST_F(Cancel, InNormal) { expect_nothing_to_cancel(); }

TEST_F(Cancel, WhilePreparing) {
  ASSERT_TRUE(host.update_held_by(*above, Call::prepare));
  EXPECT_EQ(host.state(), "preparing");
  expect_busy();
  ASSERT_TRUE(host.cancel().ok());
  expect_undone({"preparing", "cancelling", "normal"});
  EXPECT_EQ(host.journal().count("below", Call::cancel), 1U);
  // It may have begun, so it is told as well.
  EXPECT_EQ(host.journal().count("above", Call::cancel), 1U);
  EXPECT_EQ(host.observer().next("JobRemoved")->arguments.at(2), "cancelled");
}

TEST_F(Cancel, WhilePrepared) {
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  EXPECT_EQ(host.observer().next("JobRemoved")->arguments.at(2), "done");
  EXPECT_EQ(host.prepare().error, error_name("Busy"));
  ASSERT_TRUE(host.cancel().ok());
  expect_undone({"preparing", "prepared", "cancelling", "normal"});
}

TEST_F(Cancel, WhileCancelling) {
  below->on(Call::cancel, Behaviour::hold);
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  ASSERT_TRUE(host.cancel().ok());
  ASSERT_TRUE(host.run_until([&] { return below->holds(); }));
  EXPECT_EQ(host.state(), "cancelling");
  expect_nothing_to_cancel();
  expect_busy();
  below->let_go();
  expect_undone({"preparing", "prepared", "cancelling", "normal"});
}

TEST_F(Cancel, WhileFreezing) {
  ASSERT_TRUE(host.update_held_by(*below, Call::freeze));
  EXPECT_EQ(host.state(), "freezing");
  expect_busy();
  ASSERT_TRUE(host.cancel().ok());
  expect_undone({"preparing", "prepared", "freezing", "thawing", "normal"});
  EXPECT_EQ(host.journal().count("above", Call::thaw), 1U);
  EXPECT_EQ(host.journal().count("below", Call::thaw), 1U);
}

TEST_F(Cancel, WhileThawing) {
  below->on(Call::freeze, Behaviour::veto);
  ASSERT_TRUE(host.update_held_by(*above, Call::thaw));
  EXPECT_EQ(host.state(), "thawing");
  expect_nothing_to_cancel();
  expect_busy();
  above->let_go();
  EXPECT_EQ(host.finished().outcome, "failed");
  host.expect_calm();
}

TEST_F(Cancel, WhileRestoring) {
  ASSERT_TRUE(host.update_held_by(*below, Call::restore));
  EXPECT_EQ(host.state(), "restoring");
  expect_nothing_to_cancel();
  expect_busy();
  below->let_go();
  EXPECT_EQ(host.finished().outcome, "done");
  host.expect_calm();
}

TEST_F(Cancel, ThroughTheJob) {
  const auto job = host.update_held_by(*above, Call::prepare);
  ASSERT_TRUE(job);
  const auto current =
      host.admin().get_property(manager_path, manager_interface, "CurrentJob", "o");
  EXPECT_EQ(current.text(), *job);
  ASSERT_TRUE(host.admin().call(*job, job_interface, "Cancel").ok());
  expect_undone({"preparing", "cancelling", "normal"});
  // The job is gone, and said so.
  EXPECT_FALSE(host.admin().call(*job, job_interface, "Cancel").ok());
}

TEST_F(Cancel, TwiceIsOnce) {
  ASSERT_TRUE(host.update_held_by(*above, Call::prepare));
  std::vector<std::string> errors;
  for (int i = 0; i < 2; ++i) {
    host.admin().send(manager_path, manager_interface, "Cancel", {},
                      [&](const Answer& answer) { errors.push_back(answer.error); });
  }
  expect_undone({"preparing", "cancelling", "normal"});
  ASSERT_TRUE(host.run_until([&] { return errors.size() == 2; }));
  EXPECT_EQ(errors, (States{"", error_name("NothingToCancel")}));
}

TEST_F(Cancel, TwoUpdatesInOneBreath) {
  std::vector<std::string> errors;
  for (int i = 0; i < 2; ++i) {
    host.admin().send(manager_path, manager_interface, "Update", with("a{sv}", 0),
                      [&](const Answer& answer) { errors.push_back(answer.error); });
  }
  EXPECT_EQ(host.finished().outcome, "done");
  ASSERT_TRUE(host.run_until([&] { return errors.size() == 2; }));
  // The first is answered when preflight is over, the second at once.
  std::sort(errors.begin(), errors.end());
  EXPECT_EQ(errors, (States{"", error_name("Busy")}));
  EXPECT_EQ(host.generation(), 1U);
  host.expect_calm();
}

TEST_F(Cancel, UpdateGoesOnFromPrepared) {
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  EXPECT_EQ(host.journal().count(Call::freeze), 0U);
  host.update_ends("done");
  // Nobody was asked twice.
  EXPECT_EQ(host.journal().count(Call::prepare), 2U);
  host.expect_calm();
}

TEST_F(Cancel, UpdatePreparesAgainWhenSomethingChanged) {
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  auto& late = host.add({.name = "late", .needs = {"above"}});
  late.start();
  ASSERT_TRUE(late.started());
  host.update_ends("done");
  EXPECT_EQ(host.journal().count("late", Call::prepare), 1U);
  EXPECT_EQ(host.journal().count("late", Call::freeze), 1U);
  EXPECT_EQ(host.journal().count("late", Call::restore), 1U);
  host.expect_calm();
}

TEST_F(Cancel, AClientThatComesWhilePreparingIsAskedToo) {
  ASSERT_TRUE(host.update_held_by(*above, Call::prepare));
  auto& late = host.add({.name = "late", .needs = {"above"}});
  late.start();
  ASSERT_TRUE(late.started());
  above->on(Call::prepare, Behaviour::answer);
  above->let_go();
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_EQ(host.journal().count("late", Call::prepare), 1U);
  EXPECT_EQ(host.journal().count("late", Call::freeze), 1U);
  host.expect_calm();
}

/// Nothing may change while everybody stands still.
TEST_F(Cancel, SessionsAreClosedWhileFrozen) {
  ASSERT_TRUE(host.update_held_by(*below, Call::freeze));
  EXPECT_EQ(host.create_session("new").error, error_name("Busy"));
  for (const auto& session : host.list_sessions()) {
    EXPECT_EQ(
        host.admin().call(session.path, session_interface, "Unpreserve", with("t", 1UL)).error,
        error_name("Busy"));
    EXPECT_EQ(host.admin().call(session.path, session_interface, "Discard").error,
              error_name("Busy"));
  }
  EXPECT_EQ(host.admin()
                .call(manager_path, manager_interface, "UnregisterClient", with("s", "above"))
                .error,
            error_name("Busy"));
  below->let_go();
  EXPECT_EQ(host.finished().outcome, "done");
}

}  // namespace
}  // namespace handover::test

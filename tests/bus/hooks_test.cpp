// SPDX-License-Identifier: LGPL-2.1-or-later
// The administrator's hooks, as real programs: what a refusal, a time limit, a cancel and the
// daemon's death in the middle of one do.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>

#include "host.h"

namespace handover::test {
namespace {

class Hooks : public testing::Test {
 protected:
  Hooks() : Hooks(nlohmann::json::object()) {}
  explicit Hooks(const nlohmann::json& settings) : host(nlohmann::json{{"hooks", settings}}) {}

  void SetUp() override {
    host.boot();
    client = &host.add({.name = "db"});
    client->keep("db", 1, 1, 5000);
    ASSERT_TRUE(host.start_clients());
  }
  /// A shell script in hooks.d/NAME.
  void hook(const std::string& name, const std::string& script) const {
    const auto path = host.directory().write("hooks/" + name, "#!/bin/sh\n" + script + "\n");
    chmod(path.c_str(), 0755);
  }
  [[nodiscard]] std::string path(const std::string& name) const {
    return host.directory().path(name);
  }
  /// A hook that begins a child, says so, and never ends.
  void hook_that_hangs(const std::string& name) const {
    hook(name, "sleep 1000 & echo $! >" + path("child") + "\nwait");
  }
  [[nodiscard]] bool hangs() {
    return host.run_until([&] { return text_of(path("child")).ends_with('\n'); });
  }
  /// Its child is gone, too.
  [[nodiscard]] bool is_gone() {
    const auto status = "/proc/" + std::to_string(std::stoi(text_of(path("child")))) + "/status";
    return host.run_until([&] {
      const auto text = text_of(status);
      return text.empty() || text.find("State:\tZ") != std::string::npos;
    });
  }
  [[nodiscard]] nlohmann::json newest() { return host.history().at(0); }
  void expect_next_update_works() {
    std::filesystem::remove_all(path("hooks"));
    host.observer().clear();
    host.update_ends("done");
    host.expect_calm();
  }

  Host host;
  ScriptedClient* client = nullptr;
};

TEST_F(Hooks, AreToldOfAWholeUpdate) {
  for (const auto* stage : {"preflight", "prepare", "freeze", "restored"}) {
    hook(std::string(stage) + "/10-note",
         "echo $HANDOVER_STAGE $HANDOVER_JOB $HANDOVER_MODE $HANDOVER_OUTCOME >>" + path("told"));
  }
  hook("failed/10-note", "echo failed >>" + path("told"));
  host.update_ends("done");
  ASSERT_TRUE(
      host.run_until([&] { return text_of(path("told")).find("restored") != std::string::npos; }));
  EXPECT_EQ(text_of(path("told")),
            "preflight update emulated\nprepare update emulated\nfreeze update emulated\n"
            "restored update emulated done\n");
  host.expect_calm();
}

TEST_F(Hooks, OfPreflightRefuseTheUpdate) {
  hook("preflight/50-check", "echo looking\necho the raid is degraded\nexit 3");
  const auto answer = host.update();
  EXPECT_EQ(answer.error, "org.handover1.Error.Vetoed");
  EXPECT_NE(answer.message.find("hook 'preflight/50-check' ended with status 3: the raid is "
                                "degraded"),
            std::string::npos)
      << answer.message;
  EXPECT_EQ(host.journal().count(Call::prepare), 0U);
  EXPECT_EQ(host.state(), "normal");
  EXPECT_TRUE(host.history().empty());
  EXPECT_TRUE(host.log_says("Hook 'preflight/50-check': looking"));
  expect_next_update_works();
}

TEST_F(Hooks, OfPrepareVeto) {
  hook("prepare/50-check", "echo no; exit 1");
  hook("prepare/60-later", "touch " + path("later"));
  hook("failed/50-tell", "echo \"$HANDOVER_OUTCOME: $HANDOVER_REASON\" >" + path("told"));
  const auto finished = host.update_ends("failed");
  EXPECT_EQ(finished.reason, "Hook 'prepare/50-check' ended with status 1: no.");
  EXPECT_EQ(newest()["hook"], "prepare/50-check");
  EXPECT_EQ(newest()["error"], "org.handover1.Error.Vetoed");
  EXPECT_EQ(host.journal().count(Call::prepare), 0U);
  EXPECT_FALSE(std::filesystem::exists(path("later")));
  ASSERT_TRUE(host.run_until([&] { return text_of(path("told")).ends_with('\n'); }));
  EXPECT_EQ(text_of(path("told")), "failed: Hook 'prepare/50-check' ended with status 1: no.\n");
  expect_next_update_works();
}

TEST_F(Hooks, OfFreezeVetoBeforeAnybodyIsFrozen) {
  hook("freeze/50-check", "exit 1");
  hook("thaw/50-tell", "touch " + path("thawed"));
  host.update_ends("failed");
  EXPECT_EQ(newest()["hook"], "freeze/50-check");
  EXPECT_EQ(host.journal().count(Call::freeze), 0U);
  EXPECT_EQ(host.journal().count(Call::cancel), 1U);
  EXPECT_TRUE(host.run_until([&] { return std::filesystem::exists(path("thawed")); }));
  expect_next_update_works();
}

TEST_F(Hooks, ThatOthersCouldChangeAreNotRun) {
  hook("prepare/50-check", "exit 1");
  chmod(path("hooks/prepare/50-check").c_str(), 0777);
  host.update_ends("done");
  EXPECT_TRUE(host.log_says("50-check' is not run: it is writable for everybody"));
}

TEST_F(Hooks, MayPrintAMegabyte) {
  hook("prepare/50-loud", "yes | head -c 1048576");
  host.update_ends("done");
  EXPECT_TRUE(host.log_says("more lines are left out."));
  host.expect_calm();
}

TEST_F(Hooks, LeaveNobodyBehind) {
  hook("prepare/50-forks", "setsid sleep 1000 & echo $! >" + path("child") + "\nexit 0");
  host.update_ends("done");
  EXPECT_TRUE(is_gone());
}

TEST_F(Hooks, ACancelEndsThem) {
  hook_that_hangs("prepare/50-hangs");
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(hangs());
  ASSERT_TRUE(host.cancel().ok());
  EXPECT_EQ(host.finished().outcome, "cancelled");
  EXPECT_TRUE(is_gone());
  expect_next_update_works();
}

TEST_F(Hooks, AStopEndsThem) {
  hook_that_hangs("freeze/50-hangs");
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(hangs());
  host.manager().terminate();
  ASSERT_TRUE(host.run_until([&] { return !host.manager().running(); }));
  const auto status = host.manager().last_status();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(host.finished().outcome, "cancelled");
  EXPECT_TRUE(is_gone());
  host.boot();
  expect_next_update_works();
}

TEST_F(Hooks, EndWithTheDaemonAndTheNextOneUndoesTheUpdate) {
  for (const auto* name : {"prepare/50-hangs", "freeze/50-hangs"}) {
    std::filesystem::remove_all(path("hooks"));
    std::filesystem::remove(path("child"));
    hook_that_hangs(name);
    host.observer().clear();
    ASSERT_TRUE(host.update().ok());
    ASSERT_TRUE(hangs());
    ASSERT_TRUE(host.kill_daemon());
    EXPECT_TRUE(is_gone()) << name;
    EXPECT_EQ(host.finished().outcome, "failed") << name;
    EXPECT_EQ(host.journal().count(Call::freeze), 0U) << name;
  }
  expect_next_update_works();
}

class ShortHooks : public Hooks {
 protected:
  ShortHooks() : Hooks({{"timeout", "300ms"}, {"in_blackout", true}}) {}
};

TEST_F(ShortHooks, EndAtTheirLimit) {
  hook_that_hangs("prepare/50-hangs");
  const auto finished = host.update_ends("failed");
  EXPECT_EQ(finished.reason, "Hook 'prepare/50-hangs' took longer than 300 ms.");
  EXPECT_EQ(newest()["error"], "org.handover1.Error.TimedOut");
  EXPECT_TRUE(is_gone());
  expect_next_update_works();
}

TEST_F(ShortHooks, InTheBlackoutMayRefuseToo) {
  hook("freeze/50-check", "exit 1");
  host.update_ends("failed");
  EXPECT_EQ(host.journal().count(Call::freeze), 1U);
  EXPECT_EQ(host.journal().count(Call::thaw), 1U);
  EXPECT_EQ(newest()["hook"], "freeze/50-check");
  expect_next_update_works();
}

}  // namespace
}  // namespace handover::test

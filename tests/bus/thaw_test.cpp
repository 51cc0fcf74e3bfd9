// SPDX-License-Identifier: LGPL-2.1-or-later
// Thaw is certain: it is called again until the client has answered it or is gone.
#include <gtest/gtest.h>

#include "host.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

/// "base" refuses to freeze, so that "top" is frozen and must be thawed.
class CertainThaw : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    base = &host.add({.name = "base"});
    top = &host.add({.name = "top", .needs = {"base"}});
    ASSERT_TRUE(host.start_clients());
    base->once(Call::freeze, Behaviour::veto);
  }

  [[nodiscard]] bool top_is_thawed() {
    return host.run_until([&] { return !top->frozen() && host.phase_of("top") == "idle"; });
  }
  void expect_update_works() {
    host.observer().clear();
    host.update_ends("done");
    host.expect_calm();
  }

  Host host{{{"thaw_timeout", "300ms"}}};
  ScriptedClient* base = nullptr;
  ScriptedClient* top = nullptr;
};

TEST_F(CertainThaw, IsRepeatedAfterAnError) {
  top->once(Call::thaw, Behaviour::veto);
  host.update_ends("failed");
  EXPECT_TRUE(top_is_thawed());
  EXPECT_EQ(host.journal().count("top", Call::thaw), 2U);
  expect_update_works();
}

/// Its answer comes after the time that the others wait for it.
TEST_F(CertainThaw, IsRepeatedBehindTheUpdatesBack) {
  top->on(Call::thaw, Behaviour::hold);
  const auto finished = host.update_ends("failed");
  EXPECT_NE(finished.reason.find("'top'"), std::string::npos) << finished.reason;
  EXPECT_EQ(host.state(), "normal");
  EXPECT_TRUE(top->frozen());
  ASSERT_TRUE(host.run_until([&] { return host.journal().count("top", Call::thaw) >= 3; }));

  // What stands still already would be told nothing by another Freeze.
  const auto refused = host.update();
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(refused.message.find("'top'"), std::string::npos) << refused.message;
  EXPECT_EQ(host.state(), "normal");

  top->on(Call::thaw, Behaviour::answer);
  top->let_go();
  EXPECT_TRUE(top_is_thawed());
  expect_update_works();
}

TEST_F(CertainThaw, EndsWithTheClient) {
  top->on(Call::thaw, Behaviour::hold);
  host.update_ends("failed");
  EXPECT_FALSE(host.update().ok());
  top->die();
  ASSERT_TRUE(host.run_until([&] { return !host.phase_of("top"); }));
  expect_update_works();
  top->on(Call::thaw, Behaviour::answer);
  top->come_back();
  ASSERT_TRUE(top->started());
  EXPECT_EQ(top->states().back(), "new");
  expect_update_works();
}

/// The successor of a daemon that died goes on with it.
TEST_F(CertainThaw, OutlivesTheDaemon) {
  top->on(Call::thaw, Behaviour::hold);
  host.update_ends("failed");
  EXPECT_EQ(host.state(), "normal");
  ASSERT_TRUE(host.kill_daemon());
  top->on(Call::thaw, Behaviour::answer);
  EXPECT_TRUE(top_is_thawed());
  expect_update_works();
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// One process, one connection, several clients: its end is the end of all of them at once.
#include <gtest/gtest.h>

#include "host.h"

namespace handover::test {
namespace {

class SharedConnection : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    process = &host.add({.name = "one"});
    ASSERT_TRUE(host.start_clients());
    for (const auto* name : {"two", "three"}) {
      // All are answered by the same object.
      const auto enrolled =
          process->connection().call(manager_path, manager_interface, "RegisterClient",
                                     with("soasa{sv}", name, "/org/example/client", 0, 0));
      ASSERT_TRUE(enrolled.ok()) << enrolled.message;
    }
    before = host.manager().pid();
  }

  void expect_only_the_update_ends() {
    process->die();
    const auto finished = host.finished();
    EXPECT_EQ(finished.outcome, "failed");
    EXPECT_NE(finished.reason.find("left the bus"), std::string::npos) << finished.reason;
    ASSERT_EQ(host.manager().pid(), before) << "the daemon did not live through it";
    EXPECT_TRUE(host.list_clients().empty());
    host.update_ends("done");
    host.expect_calm();
  }

  Host host{{{"thaw_timeout", "300ms"}}};
  ScriptedClient* process = nullptr;
  pid_t before = 0;
};

TEST_F(SharedConnection, EndsWhilePrepared) {
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  expect_only_the_update_ends();
}

TEST_F(SharedConnection, EndsWhileOneIsPreparing) {
  ASSERT_TRUE(host.update_held_by(*process, Call::prepare));
  expect_only_the_update_ends();
}

TEST_F(SharedConnection, EndsWhileOneIsFreezing) {
  ASSERT_TRUE(host.update_held_by(*process, Call::freeze));
  expect_only_the_update_ends();
}

}  // namespace
}  // namespace handover::test

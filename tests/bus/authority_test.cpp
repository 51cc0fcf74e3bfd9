// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon keeps of a call while polkit thinks, how much of that there can be, and whatever
// becomes of the caller.
#include "bus/authority.h"

#include <gtest/gtest.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "daemon_side.h"
#include "policy_kit.h"

namespace handover::test {
namespace {

constexpr int some_uid = 1;   // daemon
constexpr int other_uid = 2;  // bin

/// Serves one method that polkit is asked about, as the daemon's objects do.
class AuthorityTest : public testing::Test {
 protected:
  struct Caller {
    Caller(AuthorityTest& owner, int as)
        : test(owner),
          uid(as),
          connection(owner.side.outer(), {owner.side.address().text, false, as}) {
      test.uid_of[connection.unique_name()] = static_cast<std::uint32_t>(uid);
    }
    /// The answer comes into `answers`.
    void ask() {
      connection.send("/asked", manager_interface, "Ask", {},
                      [this](const Answer& got) { answers.push_back(got.error); });
    }
    AuthorityTest& test;
    int uid;
    Connection connection;
    std::vector<std::string> answers;
  };

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can connect as another user";
    static const std::array<sd_bus_vtable, 3> vtable = {
        {SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Ask", "", "", on_ask, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_VTABLE_END}};
    sd_bus_slot* slot = nullptr;
    must(sd_bus_add_object_vtable(served.get(), &slot, "/asked", manager_interface, vtable.data(),
                                  this),
         "an object");
    object.reset(slot);
    must(sd_bus_request_name(served.get(), bus_name, 0), "a name");
    authority.ask_by(asking.get());
    polkit = std::make_unique<PolicyKit>(side.outer(), side.address());
    polkit->set(PolicyKit::Behaviour::hold);
  }

  [[nodiscard]] bool held(std::size_t questions) {
    return side.run_until([&] { return polkit->held() == questions; });
  }
  [[nodiscard]] bool answered(const Caller& caller, std::size_t times) {
    return side.run_until([&] { return caller.answers.size() == times; });
  }

  static int on_ask(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto& self = *static_cast<AuthorityTest*>(userdata);
    engine::Caller caller;
    caller.connection = sd_bus_message_get_sender(message);
    caller.owner.uid = self.uid_of.at(caller.connection);
    const auto call = std::make_shared<bus::HeldCall>(message, caller, bus::Quota::Share());
    self.authority.check(call, "org.handover1.update", {{"kernel", "/boot/k"}}, [&self, call] {
      ++self.done;
      call->answer("");
    });
    return 1;
  }

  static constexpr bus::Quota::Limits few{2, 3, 0};
  DaemonSide side;
  bus::BusPtr served = side.connect();
  bus::BusPtr asking = side.connect();
  bus::SlotPtr object;
  bus::Authority authority{few};
  std::map<std::string, std::uint32_t> uid_of;
  int done = 0;
  std::unique_ptr<PolicyKit> polkit;
};

TEST_F(AuthorityTest, KeepsNothingOfACallThatWasAnswered) {
  Caller caller(*this, some_uid);
  for (const auto behaviour : {PolicyKit::Behaviour::allow, PolicyKit::Behaviour::deny}) {
    caller.ask();
    ASSERT_TRUE(held(1));
    EXPECT_EQ(authority.open_questions(), 1U);
    polkit->let_go(behaviour);
    EXPECT_TRUE(side.run_until([&] { return authority.open_questions() == 0; }));
  }
  ASSERT_TRUE(answered(caller, 2));
  EXPECT_EQ(caller.answers, (std::vector<std::string>{"", error_name("AccessDenied")}));
  EXPECT_EQ(done, 1);
  EXPECT_EQ(polkit->questions()[0].details,
            (std::map<std::string, std::string>{{"kernel", "/boot/k"}}));
}

/// polkit is told, too: its agent shows a dialogue to nobody's use.
TEST_F(AuthorityTest, KeepsNothingOfACallerWhoLeft) {
  auto caller = std::make_unique<Caller>(*this, some_uid);
  Caller stays(*this, some_uid);
  caller->ask();
  ASSERT_TRUE(held(1));
  stays.ask();
  ASSERT_TRUE(held(2));
  const auto gone = caller->connection.unique_name();
  caller.reset();
  authority.gone(gone);
  EXPECT_EQ(authority.open_questions(), 1U);
  ASSERT_TRUE(side.run_until([&] { return !polkit->cancelled().empty(); }));
  EXPECT_EQ(polkit->cancelled(), std::vector<std::string>{polkit->questions()[0].id});
  polkit->let_go(PolicyKit::Behaviour::allow);
  ASSERT_TRUE(answered(stays, 1));
  EXPECT_EQ(done, 1);
}

TEST_F(AuthorityTest, AsksAtOnceOnlySoMuchForEachUserAndForAll) {
  Caller first(*this, some_uid);
  Caller second(*this, some_uid);
  Caller other(*this, other_uid);
  first.ask();
  second.ask();
  ASSERT_TRUE(held(2));
  // Another connection of the same user's gets no more.
  first.ask();
  ASSERT_TRUE(answered(first, 1));
  EXPECT_EQ(first.answers[0], error_name("Busy"));
  other.ask();
  ASSERT_TRUE(held(3));
  other.ask();
  ASSERT_TRUE(answered(other, 1));
  EXPECT_EQ(other.answers[0], error_name("Busy"));
  EXPECT_EQ(authority.refused(), 2U);

  // What is answered makes room.
  polkit->let_go(PolicyKit::Behaviour::allow);
  EXPECT_TRUE(answered(first, 2) && answered(second, 1) && answered(other, 2));
  polkit->set(PolicyKit::Behaviour::allow);
  second.ask();
  EXPECT_TRUE(answered(second, 2));
  EXPECT_EQ(done, 4);
  EXPECT_EQ(std::count(second.answers.begin(), second.answers.end(), ""), 2);
}

/// Its connection to the bus may be made again in a moment: that is no refusal.
TEST_F(AuthorityTest, IsBusyWhilePolkitCannotBeAsked) {
  Caller caller(*this, some_uid);
  authority.ask_by(nullptr);
  caller.ask();
  ASSERT_TRUE(answered(caller, 1));
  EXPECT_EQ(caller.answers[0], error_name("Busy"));
  EXPECT_EQ(authority.open_questions(), 0U);
}

TEST_F(AuthorityTest, DeniesWithoutPolkit) {
  polkit.reset();
  Caller caller(*this, some_uid);
  caller.ask();
  ASSERT_TRUE(answered(caller, 1));
  EXPECT_EQ(caller.answers[0], error_name("AccessDenied"));
}

}  // namespace
}  // namespace handover::test

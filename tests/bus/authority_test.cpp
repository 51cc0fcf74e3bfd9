// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon keeps of a call while polkit thinks, whatever becomes of the call.
#include "bus/authority.h"

#include <gtest/gtest.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <array>

#include "bus/link.h"
#include "daemon_side.h"
#include "policy_kit.h"

namespace handover::test {
namespace {

constexpr int caller_uid = 1;  // daemon

/// Serves one method that polkit is asked about, as the daemon's objects do.
class AuthorityTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can connect as another user";
    static const std::array<sd_bus_vtable, 3> vtable = {
        {SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Ask", "", "", on_ask, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_VTABLE_END}};
    link.bus = side.connect();
    ASSERT_TRUE(authority.attach(link));
    sd_bus_slot* slot = nullptr;
    must(sd_bus_add_fallback_vtable(link.bus.get(), &slot, "/asked", "org.handover1.Manager",
                                    vtable.data(), find, this),
         "an object");
    link.slots.emplace_back(slot);
    must(sd_bus_request_name(link.bus.get(), bus_name, 0), "a name");
    polkit = std::make_unique<PolicyKit>(side.outer(), side.address());
    polkit->set(PolicyKit::Behaviour::hold);
    call_as_another();
  }

  /// The caller so far leaves the bus.
  void call_as_another() {
    caller =
        std::make_unique<Connection>(side.outer(), Address{side.address().text, false, caller_uid});
  }

  /// Calls, and returns when polkit has been asked.
  void ask() {
    caller->send("/asked/object", manager_interface, "Ask", {},
                 [this](const Answer& got) { answers.push_back(got.error); });
    ASSERT_TRUE(side.run_until([&] { return polkit->held() == 1; }));
    ASSERT_EQ(authority.open_questions(), 1U);
  }
  [[nodiscard]] bool forgets() {
    return side.run_until([&] { return authority.open_questions() == 0; });
  }

  static int find(sd_bus*, const char*, const char*, void* userdata, void** found, sd_bus_error*) {
    *found = userdata;
    return static_cast<AuthorityTest*>(userdata)->there ? 1 : 0;
  }
  static int on_ask(sd_bus_message* message, void* userdata, sd_bus_error* error) {
    auto& self = *static_cast<AuthorityTest*>(userdata);
    const auto who = bus::caller_of(self.link, message);
    if (!who) return bus::reply_error(error, who.error());
    const auto verdict = self.authority.check(self.link, message, *who, "org.handover1.update");
    if (!verdict) return bus::reply_error(error, verdict.error());
    if (*verdict == bus::Authority::Verdict::pending) return 1;
    ++self.done;
    return sd_bus_reply_method_return(message, "");
  }

  DaemonSide side;
  bus::Authority authority;
  bus::Link link{side.loop()};
  bool there = true;
  int done = 0;
  std::vector<std::string> answers;
  std::unique_ptr<PolicyKit> polkit;
  std::unique_ptr<Connection> caller;
};

TEST_F(AuthorityTest, KeepsNothingOfACallThatWasHandled) {
  for (const auto behaviour : {PolicyKit::Behaviour::allow, PolicyKit::Behaviour::deny}) {
    ask();
    polkit->let_go(behaviour);
    EXPECT_TRUE(forgets());
  }
  ASSERT_TRUE(side.run_until([&] { return answers.size() == 2; }));
  EXPECT_EQ(answers, (std::vector<std::string>{"", error_name("AccessDenied")}));
  EXPECT_EQ(done, 1);
}

TEST_F(AuthorityTest, KeepsNothingOfACallerWhoLeft) {
  for (int i = 0; i < 3; ++i) {
    ask();
    const auto gone = caller->unique_name();
    call_as_another();
    ASSERT_TRUE(side.run_until([&] { return !on_bus(*caller, gone); }));
    polkit->let_go(PolicyKit::Behaviour::allow);
    EXPECT_TRUE(forgets());
  }
  EXPECT_EQ(done, 0);
}

/// A job is over while polkit thinks whether it may be cancelled: no handler sees the call again.
TEST_F(AuthorityTest, KeepsNothingOfACallToWhatIsGone) {
  ask();
  there = false;
  polkit->let_go(PolicyKit::Behaviour::allow);
  EXPECT_TRUE(forgets());
  ASSERT_TRUE(side.run_until([&] { return !answers.empty(); }));
  EXPECT_EQ(answers, (std::vector<std::string>{SD_BUS_ERROR_UNKNOWN_OBJECT}));
  EXPECT_EQ(done, 0);
}

TEST_F(AuthorityTest, KeepsNothingOfAnEarlierConnection) {
  ask();
  bus::Link next{side.loop()};
  next.bus = side.connect();
  ASSERT_TRUE(authority.attach(next));
  EXPECT_EQ(authority.open_questions(), 0U);
}

}  // namespace
}  // namespace handover::test

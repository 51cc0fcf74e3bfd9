// SPDX-License-Identifier: LGPL-2.1-or-later
// A user who may do nothing calls, and calls again, while polkit thinks: it costs nobody else
// anything.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "host.h"
#include "policy_kit.h"
#include "process.h"
#include "support/sanitized.h"

namespace handover::test {
namespace {

// As in access_test.cpp.
constexpr int somebody_uid = 1;
constexpr int another_uid = 2;

/// CreateSession, as often at once as one user's connections may wait for answers.
class Flood {
 public:
  enum class When { once, again_and_again };

  Flood(Host& host, int uid, std::size_t calls, When when) : when_(when) {
    // A system bus lets one connection wait for 128 replies.
    constexpr std::size_t at_once = 100;
    for (std::size_t i = 0; i < calls; ++i) {
      if (i % at_once == 0) {
        connections_.push_back(std::make_unique<Connection>(host.loop(), host.bus_address_of(uid)));
      }
      call(*connections_.back());
    }
  }

  /// Errors so far; nobody is ever allowed anything.
  [[nodiscard]] const std::vector<std::string>& answers() const { return answers_; }

 private:
  void call(Connection& by) {
    by.send(manager_path, manager_interface, "CreateSession", with("sa{sv}", "mine", 0),
            [this, &by](const Answer& answer) {
              answers_.push_back(answer.error);
              if (when_ == When::again_and_again) call(by);
            });
  }

  When when_;
  std::vector<std::string> answers_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

class HostileCaller : public testing::Test {
 protected:
  static constexpr std::size_t many = 300;

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can connect as another user";
    host.boot();
    polkit = std::make_unique<PolicyKit>(host.loop(), host.bus_address());
    polkit->set(PolicyKit::Behaviour::hold);
    base = &host.add({.name = "base"});
    top = &host.add({.name = "top", .needs = {"base"}});
    base->keep("base", 1, 1, 5000);
    top->keep("top", 1, 2, 5000);
    ASSERT_TRUE(host.start_clients());
  }

  /// Each call was answered, or polkit thinks about it.
  [[nodiscard]] bool settled(const Flood& flood, std::size_t calls) {
    return host.run_until([&] { return flood.answers().size() + polkit->held() >= calls; });
  }

  Host host;
  std::unique_ptr<PolicyKit> polkit;
  ScriptedClient* base = nullptr;
  ScriptedClient* top = nullptr;
};

TEST_F(HostileCaller, KeepsNobodyFrozen) {
  ASSERT_TRUE(host.update_held_by(*base, Call::freeze));
  ASSERT_TRUE(top->frozen());
  const Flood flood(host, somebody_uid, many, Flood::When::once);
  ASSERT_TRUE(settled(flood, many));
  ASSERT_TRUE(host.cancel().ok());
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "cancelled") << finished.reason;
  EXPECT_EQ(finished.reason, "Cancelled on request.");
  EXPECT_EQ(host.phase_of("top"), "idle");
  host.expect_calm();
}

TEST_F(HostileCaller, StopsNoUpdate) {
  const Flood flood(host, somebody_uid, many, Flood::When::again_and_again);
  ASSERT_TRUE(settled(flood, many));
  host.update_ends("done");
  for (const auto& client : host.clients()) EXPECT_EQ(client->memory()[0].retrieved, 1U);
  host.expect_calm();
}

TEST_F(HostileCaller, LeavesRoomForAnother) {
  const Flood flood(host, somebody_uid, many, Flood::When::once);
  ASSERT_TRUE(settled(flood, many));
  // Whoever was not asked about was told so.
  for (const auto& error : flood.answers()) EXPECT_EQ(error, error_name("Busy"));
  Connection another(host.loop(), host.bus_address_of(another_uid));
  std::optional<std::string> error;
  another.send(manager_path, manager_interface, "CreateSession", with("sa{sv}", "theirs", 0),
               [&](const Answer& answer) { error = answer.error; });
  const auto asked = [&] {
    const auto& questions = polkit->questions();
    return std::any_of(questions.begin(), questions.end(), [&](const auto& question) {
      return question.subject == another.unique_name();
    });
  };
  ASSERT_TRUE(host.run_until([&] { return error.has_value() || asked(); }));
  ASSERT_TRUE(asked()) << *error;
  polkit->let_go(PolicyKit::Behaviour::allow);
  ASSERT_TRUE(host.run_until([&] { return error.has_value(); }));
  EXPECT_EQ(*error, "");
}

/// What polkit is asked about waits in the daemon's memory, which the kernel must not take from
/// the workloads.
TEST_F(HostileCaller, FillsNoMemory) {
  if (sanitized) GTEST_SKIP() << "the sanitizer keeps what was freed";
  constexpr std::size_t calls = 8;
  constexpr std::size_t large = 30'000'000;
  const auto before = resident_bytes(host.manager().pid());
  Connection somebody(host.loop(), host.bus_address_of(somebody_uid));
  const std::string text(large, 'x');
  std::size_t answered = 0;
  for (std::size_t i = 1; i <= calls; ++i) {
    // One after the other: the bus itself holds no more than 127 MiB for one receiver.
    somebody.send(manager_path, manager_interface, "CreateSession",
                  with("sa{sv}", "mine", 1, "backend", "s", text.c_str()),
                  [&](const Answer& answer) {
                    EXPECT_NE(answer.error, "");
                    ++answered;
                  });
    ASSERT_TRUE(host.run_until([&] { return answered + polkit->held() >= i; }));
  }
  EXPECT_LT(resident_bytes(host.manager().pid()), before + 3 * large);
}

}  // namespace
}  // namespace handover::test

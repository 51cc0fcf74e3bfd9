// SPDX-License-Identifier: LGPL-2.1-or-later
// Who may do what: owners, polkit (asked without waiting), and per-user limits.
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "host.h"
#include "memory.h"
#include "policy_kit.h"
#include "process.h"

namespace handover::test {
namespace {

// Those that every system has: dbus-daemon refuses a uid that it cannot find the groups of.
constexpr int somebody_uid = 1;  // daemon
constexpr int another_uid = 2;   // bin

/// How many descriptors of memory_with() the process has open.
std::size_t memory_held_by(pid_t pid) { return open_descriptors(pid, "/memfd:handover-test"); }

/// The test plays three users, which only root can; the daemon's own uid is allowed everything.
class Access : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can connect as other users";
    host.boot();
    somebody = std::make_unique<Connection>(host.loop(), host.bus_address_of(somebody_uid));
    another = std::make_unique<Connection>(host.loop(), host.bus_address_of(another_uid));
  }

  static Answer create(Connection& by, const char* name) {
    return by.call(manager_path, manager_interface, "CreateSession", with("sa{sv}", name, 0));
  }
  static Answer update(Connection& by) {
    return by.call(manager_path, manager_interface, "Update", with("a{sv}", 0));
  }
  static Answer preserve(Connection& by, const char* name, std::uint64_t token, int fd) {
    return by.call(session_path(name), session_interface, "Preserve",
                   with("tha{sv}", token, fd, 0));
  }
  static Answer retrieve(Connection& by, const char* name, std::uint64_t token) {
    return by.call(session_path(name), session_interface, "Retrieve", with("t", token));
  }
  static Answer enroll(Connection& by, const char* name) {
    return by.call(manager_path, manager_interface, "RegisterClient",
                   with("soasa{sv}", name, "/", 0, 0));
  }

  Host host;
  std::unique_ptr<Connection> somebody;
  std::unique_ptr<Connection> another;
};

TEST_F(Access, WithoutPolkitOnlyRootMay) {
  for (const auto& answer :
       {create(*somebody, "mine"), enroll(*somebody, "mine"), update(*somebody),
        somebody->call(manager_path, manager_interface, "Prepare", with("a{sv}", 0)),
        somebody->call(manager_path, manager_interface, "Cancel")}) {
    EXPECT_EQ(answer.error, error_name("AccessDenied"));
    EXPECT_NE(answer.message.find("polkit"), std::string::npos) << answer.message;
  }
  // Looking is free.
  EXPECT_TRUE(somebody->call(manager_path, manager_interface, "ListSessions").ok());
  EXPECT_TRUE(somebody->call(manager_path, manager_interface, "ListClients").ok());
  EXPECT_TRUE(somebody->call(manager_path, manager_interface, "GetHistory", with("u", 5)).ok());
  EXPECT_EQ(somebody->get_property(manager_path, manager_interface, "State", "s").text(), "normal");
  EXPECT_TRUE(host.list_sessions().empty());
  EXPECT_TRUE(host.list_clients().empty());
  EXPECT_EQ(host.state(), "normal");
}

TEST_F(Access, PolkitDecides) {
  PolicyKit polkit(host.loop(), host.bus_address());
  ASSERT_TRUE(create(*somebody, "mine").ok());
  ASSERT_TRUE(enroll(*somebody, "mine").ok());
  ASSERT_EQ(polkit.questions().size(), 2U);
  for (const auto& question : polkit.questions()) {
    EXPECT_EQ(question.action, "org.handover1.register");
    EXPECT_EQ(question.subject, somebody->unique_name());
  }
  EXPECT_EQ(host.list_sessions()[0].uid, static_cast<std::uint32_t>(somebody_uid));
  EXPECT_EQ(host.list_clients()[0].uid, static_cast<std::uint32_t>(somebody_uid));

  using Behaviour = PolicyKit::Behaviour;
  for (const auto behaviour : {Behaviour::deny, Behaviour::challenge, Behaviour::fail}) {
    polkit.set(behaviour);
    EXPECT_EQ(create(*somebody, "other").error, error_name("AccessDenied"));
    EXPECT_EQ(update(*somebody).error, error_name("AccessDenied"));
    EXPECT_EQ(polkit.questions().back().action, "org.handover1.update");
  }
  EXPECT_EQ(host.list_sessions().size(), 1U);
  EXPECT_EQ(host.state(), "normal");
  // Whoever names what is booted, names what runs as root.
  polkit.set(Behaviour::deny);
  const std::vector<std::pair<std::string, std::string>> named = {
      {"kernel", "/boot/mine"}, {"initrd", ""}, {"cmdline", "init=/home/me/sh"}};
  for (const auto* member : {"Update", "Prepare", "Rehearse"}) {
    for (const auto& [option, value] : named) {
      EXPECT_EQ(somebody
                    ->call(manager_path, manager_interface, member,
                           with("a{sv}", 1, option.c_str(), "s", value.c_str()))
                    .error,
                error_name("AccessDenied"));
      EXPECT_EQ(polkit.questions().back().action, "org.handover1.update-custom");
      EXPECT_EQ(polkit.questions().back().details,
                (std::map<std::string, std::string>{{option, value}}));
    }
    EXPECT_EQ(somebody
                  ->call(manager_path, manager_interface, member,
                         with("a{sv}", 1, "mode", "s", "immediate"))
                  .error,
              error_name("AccessDenied"));
    EXPECT_EQ(polkit.questions().back().action, std::string_view(member) == "Rehearse"
                                                    ? "org.handover1.rehearse"
                                                    : "org.handover1.update");
    EXPECT_TRUE(polkit.questions().back().details.empty());
  }
  EXPECT_EQ(somebody->call(manager_path, manager_interface, "Rehearse", with("a{sv}", 0)).error,
            error_name("AccessDenied"));
  EXPECT_EQ(polkit.questions().back().action, "org.handover1.rehearse");
  // Root is not asked for.
  const auto before = polkit.questions().size();
  ASSERT_TRUE(host.create_session("of-root").ok());
  EXPECT_EQ(polkit.questions().size(), before);
}

TEST_F(Access, WhilePolkitThinksOthersAreServed) {
  PolicyKit polkit(host.loop(), host.bus_address());
  polkit.set(PolicyKit::Behaviour::hold);
  std::vector<std::string> answers;
  const auto ask = [&](Connection& by, const char* name) {
    by.send(manager_path, manager_interface, "CreateSession", with("sa{sv}", name, 0),
            [&](const Answer& answer) { answers.push_back(answer.error); });
  };
  ask(*somebody, "one");
  ask(*another, "two");
  ask(*somebody, "three");
  ASSERT_TRUE(host.run_until([&] { return polkit.held() == 3; }));
  EXPECT_TRUE(answers.empty());
  EXPECT_TRUE(host.create_session("of-root").ok());
  EXPECT_EQ(host.list_sessions().size(), 1U);
  polkit.let_go(PolicyKit::Behaviour::allow);
  ASSERT_TRUE(host.run_until([&] { return answers.size() == 3; }));
  EXPECT_EQ(answers, (std::vector<std::string>{"", "", ""}));
  EXPECT_EQ(host.list_sessions().size(), 4U);
  // Each answer is for its own question: the next is asked anew.
  polkit.set(PolicyKit::Behaviour::deny);
  EXPECT_EQ(create(*somebody, "four").error, error_name("AccessDenied"));
}

TEST_F(Access, WhoAsksAndLeavesIsForgotten) {
  PolicyKit polkit(host.loop(), host.bus_address());
  polkit.set(PolicyKit::Behaviour::hold);
  somebody->send(manager_path, manager_interface, "CreateSession", with("sa{sv}", "gone", 0),
                 [](auto) {});
  ASSERT_TRUE(host.run_until([&] { return polkit.held() == 1; }));
  somebody.reset();
  ASSERT_TRUE(host.run_until([&] { return !polkit.cancelled().empty(); }));
  EXPECT_EQ(polkit.cancelled()[0], polkit.questions()[0].id);
  polkit.let_go(PolicyKit::Behaviour::allow);
  polkit.set(PolicyKit::Behaviour::allow);
  EXPECT_TRUE(create(*another, "here").ok());
  const auto sessions = host.list_sessions();
  ASSERT_EQ(sessions.size(), 1U);
  EXPECT_EQ(sessions[0].name, "here");
}

/// A call that waits for polkit holds little, and none of the caller's descriptors.
TEST_F(Access, WhatIsTooLongOrUnknownIsRefusedBeforePolkitIsAsked) {
  PolicyKit polkit(host.loop(), host.bus_address());
  polkit.set(PolicyKit::Behaviour::hold);
  const std::string large(std::size_t{20} << 20U, 'x');
  const std::string path = "/" + std::string(300, 'x');
  const auto memory = memory_with(1, 10);
  // From a sender that the daemon knows: of others it holds no more than what fits.
  EXPECT_EQ(create(*somebody, large.c_str()).error, error_name("InvalidArgument"));
  EXPECT_EQ(create(*somebody, "").error, error_name("InvalidName"));
  const auto expect_refused = [&](const char* member, const Connection::Append& append,
                                  const char* name) {
    const auto answer = somebody->call(manager_path, manager_interface, member, append);
    EXPECT_EQ(answer.error, error_name(name)) << member << ": " << answer.message;
    EXPECT_LT(answer.message.size(), 500U);
  };
  expect_refused("CreateSession", with("sa{sv}", large.c_str(), 0), "InvalidName");
  expect_refused("CreateSession", with("sa{sv}", "a", 1, "client", "s", large.c_str()),
                 "InvalidArgument");
  expect_refused("CreateSession", with("sa{sv}", "a", 1, large.c_str(), "s", "b"),
                 "InvalidArgument");
  expect_refused("CreateSession", with("sa{sv}", "a", 1, "backend", "h", memory.get()),
                 "InvalidArgument");
  expect_refused("RegisterClient", with("soasa{sv}", "a", path.c_str(), 0, 0), "InvalidArgument");
  expect_refused("RegisterClient",
                 with("soasa{sv}", "a", "/", 0, 1, "freeze-timeout-usec", "t", UINT64_MAX),
                 "InvalidArgument");
  expect_refused("Update", with("a{sv}", 1, "kernel", "s", large.c_str()), "InvalidArgument");
  expect_refused("Update", with("a{sv}", 1, "cmdline", "s", "quiet\nkho=off"), "InvalidArgument");
  expect_refused(
      "RegisterClient",
      [](sd_bus_message* message) {
        must(sd_bus_message_append(message, "so", "a", "/"), "name");
        must(sd_bus_message_open_container(message, 'a', "s"), "needs");
        for (int i = 0; i < 65; ++i) {
          must(sd_bus_message_append(message, "s", ("n" + std::to_string(i)).c_str()), "a need");
        }
        must(sd_bus_message_close_container(message), "needs");
        return sd_bus_message_append(message, "a{sv}", 0);
      },
      "InvalidArgument");
  EXPECT_TRUE(polkit.questions().empty());
  EXPECT_EQ(memory_held_by(host.manager().pid()), 0U);
  EXPECT_TRUE(host.list_clients().empty());
  EXPECT_EQ(host.state(), "normal");
}

TEST_F(Access, ASessionBelongsToItsMaker) {
  PolicyKit polkit(host.loop(), host.bus_address());
  const auto memory = memory_with(5, 9000);
  const auto other = memory_with(6, 9000);
  ASSERT_TRUE(create(*somebody, "mine").ok());
  ASSERT_TRUE(preserve(*somebody, "mine", 1, memory.get()).ok());
  ASSERT_TRUE(host.create_session("of-root").ok());
  ASSERT_TRUE(host.preserve("of-root", 1, other.get()).ok());
  const auto sessions = host.list_sessions();

  const auto expect_denied = [&](Connection& to, const char* session) {
    const auto third = memory_with(7, 100);
    EXPECT_EQ(preserve(to, session, 2, third.get()).error, error_name("AccessDenied"));
    EXPECT_EQ(retrieve(to, session, 1).error, error_name("AccessDenied"));
    EXPECT_EQ(to.call(session_path(session), session_interface, "Unpreserve", with("t", 1UL)).error,
              error_name("AccessDenied"));
    EXPECT_EQ(to.call(session_path(session), session_interface, "Finish").error,
              error_name("AccessDenied"));
    EXPECT_EQ(to.call(session_path(session), session_interface, "Discard").error,
              error_name("AccessDenied"));
  };
  expect_denied(*another, "mine");
  expect_denied(*another, "of-root");
  expect_denied(*somebody, "of-root");
  EXPECT_EQ(create(*another, "mine").error, error_name("NameTaken"));
  EXPECT_EQ(host.list_sessions(), sessions);

  // In the new kernel too.
  ASSERT_TRUE(update(*somebody).ok());  // polkit allows it
  EXPECT_EQ(host.finished().outcome, "done");
  expect_denied(*another, "mine");
  expect_denied(*somebody, "of-root");
  const auto back = descriptor_of(retrieve(*somebody, "mine", 1));
  ASSERT_TRUE(back);
  EXPECT_EQ(checksum_of(back.get()), checksum_of(memory.get()));
  // Root may use everybody's.
  EXPECT_TRUE(host.end_session("mine", "Finish").ok());
  EXPECT_TRUE(descriptor_of(host.retrieve("of-root", 1)));
}

TEST_F(Access, AClientBelongsToItsMaker) {
  PolicyKit polkit(host.loop(), host.bus_address());
  ASSERT_TRUE(enroll(*somebody, "mine").ok());
  EXPECT_EQ(enroll(*another, "mine").error, error_name("AccessDenied"));
  EXPECT_EQ(
      another->call(manager_path, manager_interface, "UnregisterClient", with("s", "mine")).error,
      error_name("AccessDenied"));
  EXPECT_EQ(another
                ->call(manager_path, manager_interface, "CreateSession",
                       with("sa{sv}", "theirs", 1, "client", "s", "mine"))
                .error,
            error_name("AccessDenied"));
  // Gone, but something of it is preserved: still nobody else's.
  ASSERT_TRUE(somebody
                  ->call(manager_path, manager_interface, "CreateSession",
                         with("sa{sv}", "mine", 1, "client", "s", "mine"))
                  .ok());
  somebody.reset();
  ASSERT_TRUE(host.observer().wait_for("ClientChanged", "mine"));
  EXPECT_EQ(enroll(*another, "mine").error, error_name("AccessDenied"));
  EXPECT_TRUE(host.admin()
                  .call(manager_path, manager_interface, "UnregisterClient", with("s", "mine"))
                  .ok());
}

/// A client's calls come from the daemon only (docs/dbus.md); here: with what a bus tells it.
TEST_F(Access, LimitsAreEachUsersOwn) {
  host.shut_down();
  Host limited{{{"max_sessions_per_user", 2},
                {"max_descriptors_per_user", 3},
                {"max_bytes_per_user", 100'000}}};
  limited.boot();
  PolicyKit polkit(limited.loop(), limited.bus_address());
  Connection first(limited.loop(), limited.bus_address_of(somebody_uid));
  Connection second(limited.loop(), limited.bus_address_of(another_uid));
  ASSERT_TRUE(create(first, "a").ok());
  ASSERT_TRUE(create(first, "b").ok());
  EXPECT_EQ(create(first, "c").error, error_name("LimitExceeded"));
  ASSERT_TRUE(create(second, "c").ok());
  // Bytes.
  const auto large = memory_with(1, 100'001);
  const auto most = memory_with(2, 90'000);
  const auto more = memory_with(3, 10'001);
  const auto rest = memory_with(4, 10'000);
  EXPECT_EQ(preserve(first, "a", 1, large.get()).error, error_name("LimitExceeded"));
  ASSERT_TRUE(preserve(first, "a", 1, most.get()).ok());
  EXPECT_EQ(preserve(first, "b", 1, more.get()).error, error_name("LimitExceeded"));
  ASSERT_TRUE(preserve(first, "b", 1, rest.get()).ok());
  EXPECT_TRUE(preserve(second, "c", 1, more.get()).ok());
  // What is given back can be had again.
  EXPECT_EQ(first.call(session_path("a"), session_interface, "Discard").error, "");
  EXPECT_TRUE(create(first, "d").ok());
  EXPECT_TRUE(preserve(first, "d", 1, most.get()).ok());
  EXPECT_EQ(limited.list_sessions().size(), 3U);
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// handoverctl --host and --machine, with an ssh that runs what it is asked for beside us.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "ctl.h"
#include "memory.h"

namespace handover::test {
namespace {

class CtlRemote : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    ASSERT_TRUE(host.create_session("there").ok());
  }

  /// An `ssh` that is found first, and notes its arguments.
  void put_ssh(const std::string& body) {
    const auto path =
        host.directory().write("bin/ssh", "#!/bin/sh\nprintf '%s ' \"$@\" >> " + noted +
                                              "\necho >> " + noted + "\n" + body);
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  /// As sshd would run it, for this host's bus.
  void put_working_ssh() { put_ssh(bridge()); }
  [[nodiscard]] std::string bridge() {
    return "while [ \"$1\" != -- ]; do shift; done\nshift 2\nexec \"$@\" -p '" +
           host.bus().address() + "'\n";
  }

  /// Of a host that has no bus of its own: what comes back can only come over ssh.
  CtlEnd ctl(const std::vector<std::string>& arguments,
             const std::function<void(const ChildProcess&)>& meanwhile = {}) {
    const std::string before = std::getenv("PATH");
    ::setenv("PATH", (bin + (bin == "/nonexistent" ? "" : ":" + before)).c_str(), 1);
    auto end = run_ctl(host, arguments, {}, meanwhile, "unix:path=/nonexistent/bus");
    ::setenv("PATH", before.c_str(), 1);
    return end;
  }

  void expect_refused(const CtlEnd& end, int code, const std::string& sentence) {
    EXPECT_EQ(end.code, code) << end.err;
    EXPECT_EQ(end.out, "");
    EXPECT_EQ(std::count(end.err.begin(), end.err.end(), '\n'), 1) << end.err;
    EXPECT_NE(end.err.find(sentence), std::string::npos) << end.err;
  }

  Host host;
  std::string bin = host.directory().path("bin");
  std::string noted = host.directory().path("ssh-arguments");
};

TEST_F(CtlRemote, AsksTheDaemonOfAnotherHost) {
  put_working_ssh();
  const auto sessions = ctl({"-H", "root@db1:2222", "sessions", "--json"});
  EXPECT_EQ(sessions.code, 0) << sessions.err;
  ASSERT_EQ(sessions.out_json().size(), 1U) << sessions.out;
  EXPECT_EQ(sessions.out_json()[0]["name"], "there");
  EXPECT_EQ(text_of(noted),
            "-xT -o ServerAliveInterval=5 -p 2222 -- root@db1 systemd-stdio-bridge \n");

  const auto status = ctl({"--host", "db1", "status", "--json"});
  EXPECT_EQ(status.code, 0) << status.err;
  EXPECT_EQ(status.out_json()["state"], "normal");
  EXPECT_TRUE(status.out_json()["kernel"].is_null()) << "this kernel is not that host's";

  EXPECT_EQ(ctl({"-H", "db1", "session", "create", "made"}).code, 0);
  EXPECT_EQ(host.list_sessions().size(), 2U);
  EXPECT_EQ(ctl({"-H", "db1", "session", "discard", "nothing"}).code, 3);
}

/// Where handoverctl connects to is nothing to ssh and what that starts.
TEST_F(CtlRemote, LeavesItsEnvironmentToNobody) {
  const auto found = host.directory().path("ssh-environment");
  put_ssh("env > " + found + "\n" + bridge());
  EXPECT_EQ(ctl({"-H", "db1", "status"}).code, 0);
  const auto environment = text_of(found);
  EXPECT_NE(environment.find("PATH="), std::string::npos);
  EXPECT_EQ(environment.find("DBUS_SYSTEM_BUS_ADDRESS="), std::string::npos) << environment;
  EXPECT_EQ(environment.find("HANDOVER_PRIVATE_SOCKET="), std::string::npos) << environment;
}

TEST_F(CtlRemote, UpdatesAnotherHost) {
  put_working_ssh();
  const auto updated = ctl({"-H", "db1", "update", "--json"});
  EXPECT_EQ(updated.code, 0) << updated.err;
  EXPECT_EQ(updated.out_json()["result"], "done");
  EXPECT_EQ(host.generation(), 1U);
}

/// As in a kexec: the connection is gone, and the host is back some seconds later.
TEST_F(CtlRemote, FollowsAnUpdateOverAnSshThatEnds) {
  auto& client = host.add({.name = "slow"});
  ASSERT_TRUE(host.start_clients());
  client.on(Call::prepare, ScriptedClient::Behaviour::hold);
  const auto pid = host.directory().path("ssh-pid");
  put_ssh("echo $$ > " + pid + "\n" + bridge());
  const auto updated = ctl({"-H", "db1", "update", "--json"}, [&](const ChildProcess&) {
    ASSERT_TRUE(host.run_until([&] { return client.holds(); }));
    ASSERT_EQ(kill(std::stoi(text_of(pid)), SIGKILL), 0);
    client.on(Call::prepare, ScriptedClient::Behaviour::answer);
    client.let_go();
  });
  EXPECT_EQ(updated.code, 0) << updated.err;
  EXPECT_EQ(updated.out_json()["result"], "done") << updated.out;
  EXPECT_EQ(host.generation(), 1U);
  const auto tries = text_of(noted);
  EXPECT_EQ(std::count(tries.begin(), tries.end(), '\n'), 2);
}

TEST_F(CtlRemote, RefusesDescriptorsBeforeSshIsStarted) {
  put_working_ssh();
  expect_refused(ctl({"-H", "db1", "session", "retrieve", "there", "1", "--output", "/dev/null"}),
                 2, "'session retrieve' passes a descriptor, which does not go through ssh");
  EXPECT_NE(access(noted.c_str(), F_OK), 0);
}

TEST_F(CtlRemote, SaysThatSshDoesNotGetThere) {
  put_ssh("exit 255\n");
  expect_refused(ctl({"-H", "db1", "status"}), 8,
                 "ssh does not bring the system bus on db1 here; what it says is above, if it says "
                 "anything; try: ssh db1 systemd-stdio-bridge");
  const auto json = ctl({"-H", "db1", "--json", "status"});
  EXPECT_EQ(json.code, 8);
  EXPECT_TRUE(json.err_json().contains("message")) << json.err;
  const std::string tries = text_of(noted);
  EXPECT_EQ(std::count(tries.begin(), tries.end(), '\n'), 2) << "one ssh each";
}

TEST_F(CtlRemote, SaysThatThereIsNoDaemon) {
  put_working_ssh();
  host.shut_down();
  expect_refused(ctl({"-H", "db1", "status"}), 8, "handoverd does not run on db1; start it there");
}

TEST_F(CtlRemote, SaysThatThereIsNoSsh) {
  bin = "/nonexistent";
  expect_refused(ctl({"-H", "db1", "status"}), 8, "There is no program 'ssh' to reach db1 with.");
}

TEST_F(CtlRemote, SaysThatThereIsNoMachine) {
  expect_refused(ctl({"-M", "nowhere", "status"}), 8, "There is no machine nowhere;");
  expect_refused(ctl({"-M", "no/where", "status"}), 2, "'no/where' is no machine's name;");
  const auto here = run_ctl(host, {"-M", ".host", "status", "--json"});
  EXPECT_EQ(here.code, 0) << here.err;
  EXPECT_EQ(here.out_json()["sessions"], 1);
}

}  // namespace
}  // namespace handover::test

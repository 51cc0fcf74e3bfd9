// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-memfd whose command fails, is killed, is stopped or started anew: no byte of its memory
// is lost that the daemon still holds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "child_process.h"
#include "host.h"

namespace handover::test {
namespace {

/// Writes its process id into its memory if that is new, and says in a file then how it was
/// started. While there is a file "fails" it ends with 7 at once.
constexpr const char* command =
    "cd DIRECTORY; [ $HANDOVER_RESTORED = 1 ] || printf %08d $$ 1<>/proc/self/fd/3; "
    "printf '%s/%s ' $HANDOVER_RESTORED $HANDOVER_QUIESCED >>starts; "
    "[ -e fails ] && exit 7; ";
constexpr const char* for_ever = "while :; do sleep 0.05; done";
/// Whoever is stopped between vfork() and exec holds its parent up for ever.
constexpr const char* without_children = "exec sleep 1000";
constexpr std::size_t digits = 8;

class MemfdFailure : public testing::Test {
 protected:
  void SetUp() override { host.boot(); }

  void TearDown() override {
    if (keeper && !status) {
      keeper->signal(SIGTERM);
      EXPECT_TRUE(ended()) << "handover-memfd does not end on SIGTERM";
    }
    if (testing::Test::HasFailure()) {
      std::fprintf(stderr, "---- the client's log\n%s\n", text_of(log()).c_str());
    }
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return host.directory().path(name);
  }
  [[nodiscard]] std::string log() const { return path("memfd.log"); }
  [[nodiscard]] std::string starts() const { return text_of(path("starts")); }
  [[nodiscard]] bool log_has(const std::string& text) const {
    return text_of(log()).find(text) != std::string::npos;
  }

  /// `script` goes on where `command` ends.
  void start(std::vector<std::string> options = {}, std::string script = for_ever) {
    std::string all = command;
    all.replace(all.find("DIRECTORY"), 9, host.directory().path("."));
    options.insert(options.begin(), {"--freeze", "sigstop"});
    start_shell(options, all + script);
  }
  void start_shell(const std::vector<std::string>& options, const std::string& script) {
    std::vector<std::string> words = {"run", "--name", "counter", "--size", size};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/sh", "-c", script});
    auto setup = program(std::move(words));
    setup.listen_fds = listen_fds;
    status.reset();
    keeper.emplace(host.loop(), setup, [this](int ended) { status = ended; });
  }
  /// `handover-memfd restart`; `answered` is its end.
  void restart(const std::string& name) {
    answered.reset();
    restarting.emplace(host.loop(), program({"restart", "--name", name}),
                       [this](int ended) { answered = ended; });
  }
  bool has_answered(std::chrono::milliseconds limit = patience) {
    return host.loop().run_until([&] { return answered.has_value(); }, limit);
  }
  /// What COMMAND has written to the other end.
  std::string said_to(int socket) {
    std::string said(64, '\0');
    EXPECT_TRUE(host.run_until([&] {
      const auto n = recv(socket, said.data(), said.size(), MSG_DONTWAIT);
      if (n > 0) said.resize(static_cast<std::size_t>(n));
      return n > 0;
    }));
    return said;
  }
  [[nodiscard]] ChildProcess::Setup program(std::vector<std::string> words) {
    ChildProcess::Setup setup;
    setup.argv = std::move(words);
    setup.argv.insert(setup.argv.begin(), HANDOVER_MEMFD_PROGRAM);
    setup.environment = environment();
    setup.log = log();
    return setup;
  }
  [[nodiscard]] std::vector<std::string> environment() {
    return {"HANDOVER_PRIVATE_SOCKET=" + path("run/private"),
            "DBUS_SYSTEM_BUS_ADDRESS=" + host.bus().address(),
            "RUNTIME_DIRECTORY=" + path("sockets")};
  }
  /// It runs for the `n`th time, and its memory is preserved.
  bool runs(std::size_t n) {
    return host.run_until([&] {
      return static_cast<std::size_t>(std::count(text_begin(), text_end(), ' ')) == n &&
             preserved() && child() > 0;
    });
  }
  bool ended() {
    return host.run_until([&] { return status.has_value(); });
  }
  void expect_exits(int code) {
    ASSERT_TRUE(ended()) << "it runs on";
    EXPECT_TRUE(WIFEXITED(*status));
    EXPECT_EQ(WEXITSTATUS(*status), code);
  }

  [[nodiscard]] bool preserved() {
    const auto sessions = host.list_sessions();
    return std::any_of(sessions.begin(), sessions.end(), [](const ListedSession& session) {
      return session.name == "counter" && !session.incoming && session.descriptors == 1;
    });
  }
  /// The command's process id; 0 if there is none.
  [[nodiscard]] pid_t child() const {
    const auto pid = std::to_string(keeper->pid());
    const auto children = text_of("/proc/" + pid + "/task/" + pid + "/children");
    return static_cast<pid_t>(std::strtol(children.c_str(), nullptr, 10));
  }
  /// Else it has a cgroup of its own, whose freeze reaches everybody.
  [[nodiscard]] bool is_stopped_by_signals() const {
    return text_of("/proc/" + std::to_string(child()) + "/cgroup") == text_of("/proc/self/cgroup");
  }
  /// What is in the memory that the daemon holds.
  [[nodiscard]] std::string memory() {
    const auto fd = descriptor_of(host.retrieve("counter", 1));
    std::string text(digits, '\0');
    if (pread(fd.get(), text.data(), digits, 0) != static_cast<ssize_t>(digits)) return "";
    return text;
  }
  [[nodiscard]] char state_of(pid_t process) const {
    const auto stat = text_of("/proc/" + std::to_string(process) + "/stat");
    const auto end = stat.rfind(')');
    return end == std::string::npos ? '?' : stat[end + 2];
  }

  Host host;
  std::string size = "1M";
  std::vector<std::pair<std::string, int>> listen_fds;
  std::optional<ChildProcess> keeper;
  std::optional<int> status;
  std::optional<ChildProcess> restarting;
  std::optional<int> answered;

 private:
  std::string seen_;
  std::string::const_iterator text_begin() {
    seen_ = starts();
    return seen_.cbegin();
  }
  std::string::const_iterator text_end() { return seen_.cend(); }
};

TEST_F(MemfdFailure, TheNextStartHasTheMemoryOfOneThatWasKilled) {
  start();
  ASSERT_TRUE(runs(1));
  const auto written = memory();
  EXPECT_NE(written, "");
  ASSERT_EQ(kill(child(), SIGSEGV), 0);
  expect_exits(128 + SIGSEGV);
  EXPECT_TRUE(preserved());
  start();
  ASSERT_TRUE(runs(2));
  EXPECT_EQ(starts(), "0/1 1/0 ");
  EXPECT_EQ(memory(), written);
  // And it is carried as ever.
  host.update_ends("done");
  EXPECT_TRUE(host.observer().all("StateLost").empty());
}

TEST_F(MemfdFailure, TheNextStartHasTheMemoryOfAKeeperThatWasKilled) {
  start();
  ASSERT_TRUE(runs(1));
  const auto written = memory();
  const auto orphan = child();
  keeper->signal(SIGKILL);
  ASSERT_TRUE(ended());
  // Two commands would write into it.
  EXPECT_TRUE(host.run_until([&] { return kill(orphan, 0) < 0 || state_of(orphan) == 'Z'; }));
  start();
  ASSERT_TRUE(runs(2));
  EXPECT_EQ(starts(), "0/1 1/0 ");
  EXPECT_EQ(memory(), written);
}

TEST_F(MemfdFailure, DiscardGivesItUp) {
  start({"--on-failure", "discard"});
  ASSERT_TRUE(runs(1));
  ASSERT_EQ(kill(child(), SIGSEGV), 0);
  expect_exits(128 + SIGSEGV);
  EXPECT_FALSE(preserved());
  start({"--on-failure", "discard"});
  ASSERT_TRUE(runs(2));
  EXPECT_EQ(starts(), "0/1 0/1 ");
}

TEST_F(MemfdFailure, WhoEndsWellOrIsAskedToNeedsNoneAnyMore) {
  start({}, "exit 0");
  expect_exits(0);
  EXPECT_FALSE(preserved());
  start();
  ASSERT_TRUE(runs(2));
  keeper->signal(SIGTERM);
  expect_exits(128 + SIGTERM);
  EXPECT_FALSE(preserved());
  EXPECT_EQ(starts(), "0/1 0/1 ");
}

/// An update during which the client dies after the kexec; a new one restores.
class MemfdRestore : public MemfdFailure {
 protected:
  /// Up to where the next keeper is called.
  void update_with_a_new_keeper(const std::vector<std::string>& options) {
    auto& other = host.add({.name = "other"});
    ASSERT_TRUE(host.start_clients());
    auto first = options;
    first.insert(first.end(), {"--needs", "other"});
    start(first);
    ASSERT_TRUE(runs(1));
    written = memory();
    ASSERT_TRUE(host.update_held_by(other, Call::restore));
    keeper->signal(SIGKILL);
    ASSERT_TRUE(ended());
    before_it_restores();
    start(first, script);
    ASSERT_TRUE(host.run_until([&] { return host.phase_of("counter") == "restoring"; }));
    other.on(Call::restore, ScriptedClient::Behaviour::answer);
    other.let_go();
  }
  virtual void before_it_restores() {}

  std::string written;
  std::string script = for_ever;
};

class MemfdThatFailsInTheNewKernel : public MemfdRestore {
 protected:
  void before_it_restores() override { host.directory().write("fails", ""); }
};

TEST_F(MemfdThatFailsInTheNewKernel, HasItsMemoryAtTheNextStart) {
  update_with_a_new_keeper({});
  expect_exits(7);
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_TRUE(preserved()) << "it was not preserved again";
  unlink(path("fails").c_str());
  start();
  ASSERT_TRUE(runs(3));
  EXPECT_EQ(starts(), "0/1 1/1 1/0 ");
  EXPECT_EQ(memory(), written);
  EXPECT_TRUE(host.observer().all("StateLost").empty());
}

/// Restore is answered when COMMAND says that it is ready, and not before.
TEST_F(MemfdThatFailsInTheNewKernel, IsNotRestoredBeforeItIsReady) {
  constexpr const char* tells = "systemd-notify --ready; while :; do sleep 0.05; done";
  if (system("command -v systemd-notify >/dev/null") != 0) GTEST_SKIP() << "no systemd-notify";
  script = tells;
  update_with_a_new_keeper({"--notify"});
  expect_exits(7);
  EXPECT_TRUE(log_has("ended with exit status 7 before it was ready")) << text_of(log());
  EXPECT_EQ(host.state(), "restoring");
  unlink(path("fails").c_str());
  start({"--notify", "--needs", "other"}, tells);
  EXPECT_EQ(host.finished().outcome, "done");
  ASSERT_TRUE(runs(3));
  EXPECT_EQ(starts(), "0/1 1/1 1/1 ") << "each has what was frozen";
  EXPECT_EQ(memory(), written);
}

/// What is waited for comes later than Restore.
TEST_F(MemfdRestore, WaitsForWhatItNeeds) {
  update_with_a_new_keeper({"--wait-for", host.directory().path("run")});
  EXPECT_EQ(host.finished().outcome, "done");
  ASSERT_TRUE(runs(2));
  EXPECT_EQ(starts(), "0/1 1/1 ");
  EXPECT_EQ(memory(), written);
}

TEST_F(MemfdFailure, WaitsForAPathAndSaysSo) {
  start({"--wait-for", path("disk")});
  ASSERT_TRUE(host.run_until([&] { return log_has("disk is not there"); })) << text_of(log());
  EXPECT_EQ(starts(), "");
  host.directory().write("disk", "");
  ASSERT_TRUE(runs(1));
}

TEST_F(MemfdFailure, DoesNotWaitForEver) {
  start({"--wait-for", path("disk"), "--wait", "0.2"});
  expect_exits(125);
  EXPECT_EQ(starts(), "");
  EXPECT_TRUE(host.list_clients().empty());
}

/// A mount that comes after Restore was called, and one that comes too late.
class MemfdWithoutItsDisk : public MemfdRestore {
 protected:
  void before_it_restores() override { unlink(path("disk").c_str()); }
};

TEST_F(MemfdWithoutItsDisk, IsRestoredWhenItComes) {
  host.directory().write("disk", "");
  update_with_a_new_keeper({"--wait-for", path("disk")});
  ASSERT_TRUE(host.run_until([&] { return log_has("disk is not there"); })) << text_of(log());
  EXPECT_EQ(host.state(), "restoring");
  host.directory().write("disk", "");
  EXPECT_EQ(host.finished().outcome, "done");
  ASSERT_TRUE(runs(2));
  EXPECT_EQ(starts(), "0/1 1/1 ");
  EXPECT_EQ(memory(), written);
}

TEST_F(MemfdFailure, RestartGivesANewCommandTheSameMemory) {
  start();
  ASSERT_TRUE(runs(1));
  const auto written = memory();
  const auto before = child();
  restart("counter");
  ASSERT_TRUE(has_answered());
  EXPECT_EQ(*answered, 0);
  ASSERT_TRUE(runs(2));
  EXPECT_NE(child(), before);
  EXPECT_FALSE(status.has_value()) << "handover-memfd ended";
  EXPECT_EQ(starts(), "0/1 1/0 ") << "SIGTERM cut it off";
  EXPECT_EQ(memory(), written);
  host.update_ends("done");
  EXPECT_TRUE(host.observer().all("StateLost").empty());
}

TEST_F(MemfdFailure, WhoDiesOfASignalThatWasPassedOnNeedsNoneAnyMore) {
  start();
  ASSERT_TRUE(runs(1));
  keeper->signal(SIGUSR2);
  expect_exits(128 + SIGUSR2);
  EXPECT_FALSE(preserved());
}

/// It ends before it has started a new COMMAND.
TEST_F(MemfdFailure, RestartOfOneThatEndsFails) {
  start({}, "trap 'echo >>asked' TERM; echo >>trapped; while :; do sleep 0.05; done");
  ASSERT_TRUE(host.run_until([&] { return !text_of(path("trapped")).empty(); }));
  restart("counter");
  ASSERT_TRUE(host.run_until([&] { return !text_of(path("asked")).empty(); }));
  ASSERT_FALSE(has_answered(std::chrono::milliseconds(100)));
  keeper->signal(SIGKILL);
  ASSERT_TRUE(ended());
  ASSERT_TRUE(has_answered());
  EXPECT_EQ(WEXITSTATUS(*answered), 1);
  EXPECT_TRUE(log_has("ended before it had started")) << text_of(log());
}

TEST_F(MemfdFailure, RestartOfNobodyFails) {
  restart("nobody");
  ASSERT_TRUE(has_answered());
  EXPECT_EQ(WEXITSTATUS(*answered), 1);
  EXPECT_TRUE(log_has("Cannot reach 'nobody'")) << text_of(log());
}

TEST_F(MemfdFailure, SigtermEndsACommandThatStandsStill) {
  start({}, without_children);
  ASSERT_TRUE(runs(1));
  ASSERT_EQ(kill(-child(), SIGSTOP), 0);
  const auto stopped = child();
  ASSERT_TRUE(host.run_until([&] { return state_of(stopped) == 'T'; }));
  keeper->signal(SIGTERM);
  expect_exits(128 + SIGTERM);
  EXPECT_FALSE(preserved());
}

TEST_F(MemfdFailure, WhomAPersonStoppedStaysStoppedAfterACancelledUpdate) {
  auto& other = host.add({.name = "other"});
  ASSERT_TRUE(host.start_clients());
  start({"--needs", "other"}, without_children);
  ASSERT_TRUE(runs(1));
  const auto process = child();
  ASSERT_EQ(kill(-process, SIGSTOP), 0);
  ASSERT_TRUE(host.run_until([&] { return state_of(process) == 'T'; }));
  ASSERT_TRUE(host.update_held_by(other, Call::freeze));
  other.veto_held();
  EXPECT_EQ(host.finished().outcome, "failed");
  ASSERT_TRUE(host.run_until([&] { return host.state() == "normal"; }));
  EXPECT_EQ(state_of(process), 'T');
  // One that ran runs again.
  ASSERT_EQ(kill(-process, SIGCONT), 0);
  host.observer().clear();
  ASSERT_TRUE(host.update_held_by(other, Call::freeze));
  EXPECT_EQ(state_of(process), 'T');
  other.veto_held();
  EXPECT_EQ(host.finished().outcome, "failed");
  EXPECT_TRUE(host.run_until([&] { return state_of(process) != 'T'; }));
}

/// A stop of the group would let it write into memory that is handed over.
TEST_F(MemfdFailure, AProcessThatLeftTheGroupIsInTheWay) {
  start_shell(
      {},
      "cd " + path(".") +
          "; printf 1/1' ' >>starts; setsid sleep 1000 & echo $! >stray; wait; exec sleep 1000");
  ASSERT_TRUE(runs(1));
  if (!is_stopped_by_signals()) GTEST_SKIP() << "the cgroup is delegated, and stops everybody";
  const auto stray = [&] { return std::strtol(text_of(path("stray")).c_str(), nullptr, 10); };
  ASSERT_TRUE(host.run_until([&] { return stray() > 0 && getsid(stray()) == stray(); }));
  const auto finished = host.update_ends("failed");
  EXPECT_NE(finished.reason.find("Process " + std::to_string(stray()) + " (s"), std::string::npos)
      << finished.reason;
  // With it the way is free.
  const auto pid = static_cast<pid_t>(stray());
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  ASSERT_TRUE(host.run_until([&] { return kill(pid, 0) < 0; })) << "the shell waits for it";
  host.observer().clear();
  host.update_ends("done");
}

/// Who is gone again in an instant does not.
TEST_F(MemfdFailure, AHelperThatLeftTheGroupAndEndsIsNotInTheWay) {
  start_shell({},
              "cd " + path(".") + "; printf 1/1' ' >>starts; while :; do setsid sleep 0.3; done");
  ASSERT_TRUE(runs(1));
  host.update_ends("done");
}

TEST_F(MemfdFailure, AProcessThatLeavesTheGroupAfterPrepareIsInTheWayOfFreeze) {
  start_shell({}, "cd " + path(".") +
                      "; trap 'setsid sleep 1000 & echo $! >stray' USR1; printf 1/1' ' >>starts; "
                      "while :; do sleep 0.05; done");
  ASSERT_TRUE(runs(1));
  if (!is_stopped_by_signals()) GTEST_SKIP() << "the cgroup is delegated, and stops everybody";
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.reaches("prepared"));
  ASSERT_EQ(kill(child(), SIGUSR1), 0);
  const auto stray = [&] { return std::strtol(text_of(path("stray")).c_str(), nullptr, 10); };
  ASSERT_TRUE(host.run_until([&] { return stray() > 0 && getsid(stray()) == stray(); }));
  const auto finished = host.update_ends("failed");
  EXPECT_NE(finished.reason.find("Process " + std::to_string(stray()) + " (s"), std::string::npos)
      << finished.reason;
  EXPECT_TRUE(host.run_until([&] { return state_of(child()) != 'T'; }));
  EXPECT_EQ(kill(static_cast<pid_t>(stray()), SIGKILL), 0);
}

/// D13: a unit's sockets keep their places, and the memory comes behind them.
TEST_F(MemfdFailure, InheritedDescriptorsStandInFront) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  const UniqueFd second(open("/dev/null", O_RDWR | O_CLOEXEC));
  listen_fds = {{"web", theirs.get()}, {"null", second.get()}};
  start_shell({},
              "printf '%s %s %s' $LISTEN_FDS $LISTEN_FDNAMES $(stat -Lc %s /proc/self/fd/5) >&3; "
              "sleep 100");
  EXPECT_EQ(said_to(ours.get()), "3 web:null:counter 1048576");
}

TEST_F(MemfdFailure, TheCommandRunsAsSomebodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "root alone can become somebody else";
  int ends[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  listen_fds = {{"web", theirs.get()}};
  start_shell({"--user", "nobody"},
              "echo x 1<>/proc/self/fd/4 && printf '%s' $(id -un) >&3; sleep 100");
  EXPECT_EQ(said_to(ours.get()), "nobody");
}

TEST_F(MemfdFailure, AnotherSizeIsTold) {
  start();
  ASSERT_TRUE(runs(1));
  keeper->signal(SIGKILL);
  ASSERT_TRUE(ended());
  size = "2M";
  start();
  ASSERT_TRUE(runs(2));
  EXPECT_TRUE(log_has("keeps the 1048576 bytes that it had")) << text_of(log());
}

}  // namespace
}  // namespace handover::test

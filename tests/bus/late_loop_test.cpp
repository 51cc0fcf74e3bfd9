// SPDX-License-Identifier: LGPL-2.1-or-later
// A daemon that was held up, by itself or by others, accuses nobody and makes nobody wait.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>

#include "host.h"
#include "memory.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;
using std::chrono::milliseconds;

constexpr std::uint64_t usec_per_msec = 1000;

/// A required client that "other" needs.
class LateLoop : public testing::Test {
 protected:
  static constexpr milliseconds limit{5000};
  static constexpr milliseconds longer{5500};

  void SetUp() override {
    host.boot();
    client = &host.add({.name = "client",
                        .freeze_timeout_usec = limit.count() * usec_per_msec,
                        .restore_timeout_usec = limit.count() * usec_per_msec});
    client->keep("memory", 1, 1, 5000);
    host.add({.name = "other", .needs = {"client"}});
    ASSERT_TRUE(host.start_clients());
  }

  /// The client answers what it was called for, while the daemon stands still for `longer`.
  void answer_a_stopped_daemon() {
    host.manager().signal_daemon(SIGSTOP);
    client->let_go();
    wait(longer);
    host.manager().signal_daemon(SIGCONT);
  }
  void wait(milliseconds time) {
    bool over = false;
    const auto timer = host.loop().after(time, [&] { over = true; });
    ASSERT_TRUE(host.run_until([&] { return over; }));
  }
  void expect_done() {
    const auto finished = host.finished();
    EXPECT_EQ(finished.outcome, "done") << finished.reason;
    EXPECT_EQ(client->memory()[0].retrieved, 1U);
    EXPECT_TRUE(host.observer().all("StateLost").empty());
    ASSERT_TRUE(client->started());
    host.expect_calm();
  }

  Host host;
  ScriptedClient* client = nullptr;
};

TEST_F(LateLoop, TakesTheAnswerToFreezeThatCameInTime) {
  client->on(Call::freeze, Behaviour::hold_answer);
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] { return client->holds(); }));
  answer_a_stopped_daemon();
  expect_done();
}

TEST_F(LateLoop, TakesTheAnswerToRestoreThatCameInTime) {
  client->on(Call::restore, Behaviour::hold_answer);
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] { return client->holds(); }));
  answer_a_stopped_daemon();
  expect_done();
}

/// It has all of its state and runs: to free that and to let its dependants wait helps nobody.
TEST_F(LateLoop, TakesTheAnswerToRestoreThatCameLate) {
  client->on(Call::restore, Behaviour::hold_answer);
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] { return client->holds(); }));
  wait(longer);
  EXPECT_EQ(host.state(), "restoring");
  client->let_go();
  expect_done();
}

/// The bus stands still after it has brought a call whose sender the daemon may want to know more
/// of.
TEST_F(LateLoop, ServesThePrivateSocketWithoutTheBus) {
  constexpr milliseconds at_once{20'000};
  Connection peer(host.loop(), host.private_address());
  ASSERT_TRUE(peer.get_property(manager_path, manager_interface, "State", "s").ok());
  host.manager().signal_daemon(SIGSTOP);
  std::optional<std::string> on_bus_answer;
  host.admin().send(manager_path, manager_interface, "CreateSession", with("sa{sv}", "by-bus", 0),
                    [&](const Answer& answer) { on_bus_answer = answer.error; });
  // The bus keeps one sender's order: it has passed the call on when it answers this.
  EXPECT_TRUE(on_bus(host.admin(), host.admin().unique_name()));
  host.bus().stop();
  host.manager().signal_daemon(SIGCONT);
  // Which of the two calls that lie there it takes first is left to chance: the third comes later.
  std::vector<std::string> answers;
  for (const auto* name : {"first", "second"}) {
    peer.send(manager_path, manager_interface, "CreateSession", with("sa{sv}", name, 0),
              [&](const Answer& answer) { answers.push_back(answer.error); });
    const auto sent = answers.size() + 1;
    EXPECT_TRUE(host.loop().run_until([&] { return answers.size() == sent; }, at_once));
  }
  host.bus().go_on();
  ASSERT_TRUE(host.run_until([&] { return answers.size() == 2 && on_bus_answer.has_value(); }));
  EXPECT_EQ(answers, (std::vector<std::string>{"", ""}));
  EXPECT_EQ(*on_bus_answer, "");
}

TEST(PrivateSocketAlone, CarriesAWholeUpdate) {
  Host host;
  host.boot();
  auto& client = host.add({.name = "client"}, host.private_address());
  auto& other = host.add({.name = "other", .needs = {"client"}}, host.private_address());
  client.keep("memory", 1, 1, 5000);
  ASSERT_TRUE(host.start_clients());
  Connection peer(host.loop(), host.private_address());
  host.bus().stop();
  const auto updated = peer.call(manager_path, manager_interface, "Update", with("a{sv}", 0));
  EXPECT_TRUE(updated.ok()) << updated.error << ": " << updated.message;
  EXPECT_TRUE(host.run_until([&] {
    return host.journal().count(other.name(), Call::restore) == 1 && client.preserved() &&
           client.memory()[0].retrieved == 1;
  }));
  host.bus().go_on();
  ASSERT_TRUE(host.run_until([&] { return host.serves() && host.state() == "normal"; }));
  EXPECT_EQ(host.generation(), 1U);
  host.expect_calm();
}

// ---- a slow PID 1

/// What waits, waits beside the loop: no turn of it lasts as long as one of these calls.
TEST(SlowServiceManager, HoldsUpNoTurnOfTheLoop) {
  constexpr milliseconds slow{2000};
  constexpr std::uint64_t half_usec = 1'000'000;
  Host host;
  host.gate();
  host.boot();
  const auto memory = memory_with(1, 5000);
  Connection other(host.loop(), host.private_address());
  host.gate().slow_down_stores(slow);
  std::size_t asked = 0;
  // Each is answered only when PID 1 has what it is to have; others are answered meanwhile.
  const auto expect_slow = [&](const std::string& path, const char* interface, const char* member,
                               const Connection::Append& append) {
    using Clock = std::chrono::steady_clock;
    const auto began = Clock::now();
    std::optional<std::string> error;
    host.admin().send(path, interface, member, append,
                      [&](const Answer& answer) { error = answer.error; });
    while (!error) {
      const auto before = Clock::now();
      EXPECT_TRUE(other.get_property(manager_path, manager_interface, "State", "s").ok());
      EXPECT_LT(Clock::now() - before, slow / 2) << member;
      ++asked;
      bool over = false;
      const auto timer = host.loop().after(milliseconds(100), [&] { over = true; });
      EXPECT_TRUE(host.run_until([&] { return over; }));
      ASSERT_LT(Clock::now() - began, patience) << member;
    }
    EXPECT_EQ(*error, "") << member;
    EXPECT_GE(Clock::now() - began, slow) << member;
  };
  const auto session = session_path("s");
  expect_slow(manager_path, manager_interface, "CreateSession", with("sa{sv}", "s", 0));
  expect_slow(session, session_interface, "Preserve", with("tha{sv}", 1UL, memory.get(), 0));
  expect_slow(session, session_interface, "Unpreserve", with("t", 1UL));
  expect_slow(session, session_interface, "Discard", {});
  EXPECT_GE(asked, 20U);
  EXPECT_LT(host.statistic("loop-longest-turn-usec"), half_usec);
}

// ---- a log that nobody reads

/// The daemon's standard error is a pipe that is full.
class FullPipe {
 public:
  explicit FullPipe(ServiceManager& manager) {
    int ends[2] = {-1, -1};
    must(pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0, "a pipe");
    read_.reset(ends[0]);
    write_.reset(ends[1]);
    const std::string filling(4096, '.');
    while (write(write_.get(), filling.data(), filling.size()) > 0) {
    }
    // The daemon's own descriptor waits, as a terminal's does.
    fcntl(write_.get(), F_SETFL, fcntl(write_.get(), F_GETFL) & ~O_NONBLOCK);
    manager.before_exec([this] { dup2(write_.get(), STDERR_FILENO); });
  }

 private:
  UniqueFd read_, write_;
};

/// In the daemon's view of the files, the journal's socket is one that nobody reads.
void hide_the_journal() {
  constexpr const char* runtime = "/run/systemd";
  constexpr const char* where = "/run/systemd/journal";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/run/systemd/journal/socket");
  const int queue = socket(AF_UNIX, SOCK_DGRAM, 0);  // stays open over execve()
  const bool hidden =
      unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
      mount("tmpfs", runtime, "tmpfs", 0, nullptr) == 0 && mkdir(where, 0755) == 0 &&
      bind(queue, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (!hidden) _exit(123);
}

/// Whether this machine lets a test do that.
bool can_hide_the_journal() {
  const auto child = fork();
  if (child == 0) {
    hide_the_journal();
    _exit(0);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class UnreadLog : public testing::Test {
 protected:
  /// Many lines, and then the daemon does all that it can do, and ends.
  void expect_no_difference() {
    host.boot();
    auto& client = host.add({.name = "client"});
    client.keep("memory", 1, 1, 5000);
    ASSERT_TRUE(host.start_clients());
    constexpr int rounds = 200;  // of ten lines and more
    for (int i = 0; i < rounds; ++i) {
      ASSERT_TRUE(host.prepare().ok());
      ASSERT_TRUE(host.reaches("prepared"));
      ASSERT_TRUE(host.cancel().ok());
      ASSERT_EQ(host.finished().outcome, "cancelled");
      host.observer().clear();
    }
    host.update_ends("done");
    host.expect_calm();
  }

  Host host;
};

TEST_F(UnreadLog, OnAPipe) {
  const FullPipe pipe(host.manager());
  expect_no_difference();
  EXPECT_EQ(host.manager().stop(), 0);
}

TEST_F(UnreadLog, InTheJournal) {
  if (!can_hide_the_journal()) GTEST_SKIP() << "no mount namespaces here";
  // As systemd tells that standard error is the journal: sd_journal_stream_fd(3), JOURNAL_STREAM.
  struct stat log {};
  ASSERT_EQ(stat(host.directory().write("daemon.log", "").c_str(), &log), 0);
  host.manager().set_environment("JOURNAL_STREAM",
                                 std::to_string(log.st_dev) + ":" + std::to_string(log.st_ino));
  host.manager().before_exec(hide_the_journal);
  expect_no_difference();
  EXPECT_EQ(host.manager().stop(), 0);
}

}  // namespace
}  // namespace handover::test

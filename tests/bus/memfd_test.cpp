// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-memfd through updates: its command goes on, in the same memory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "child_process.h"
#include "core/manifest.h"
#include "host.h"

namespace handover::test {
namespace {

/// Counts in the first bytes of its memory, with a new open file description for each number; ends
/// with handover-memfd, however that ends.
constexpr const char* counting =
    "n=10000000; while [ -d /proc/$PPID ]; do n=$((n+1)); printf $n 1<>/proc/self/fd/3; sleep "
    "0.002; done";
constexpr std::size_t digits = 8;

class MemfdClient : public testing::Test {
 protected:
  void SetUp() override {
    host.gate();
    host.boot();
    ChildProcess::Setup setup;
    setup.argv = {HANDOVER_MEMFD_PROGRAM,
                  "run",
                  "--name",
                  "counter",
                  "--size",
                  "1M",
                  "--freeze",
                  freeze,
                  "--",
                  "/bin/sh",
                  "-c",
                  script};
    setup.environment = {"HANDOVER_PRIVATE_SOCKET=" + host.directory().path("run/private"),
                         "DBUS_SYSTEM_BUS_ADDRESS=" + host.bus().address()};
    setup.log = log();
    keeper.emplace(host.loop(), setup, [this](int ended) { status = ended; });
    ASSERT_TRUE(host.run_until([&] { return preserved() && command() > 0; })) << text_of(log());
    host.observer().clear();
  }

  void TearDown() override {
    if (!keeper) return;
    keeper->signal(SIGTERM);
    EXPECT_TRUE(host.run_until([&] { return status.has_value(); }))
        << "handover-memfd does not end on SIGTERM";
    if (testing::Test::HasFailure()) {
      std::fprintf(stderr, "---- the client's log\n%s\n", text_of(log()).c_str());
    }
  }

  [[nodiscard]] std::string log() const { return host.directory().path("memfd.log"); }

  /// Its session is there, with its memory, and holds nothing of an earlier kernel.
  [[nodiscard]] bool preserved() {
    const auto sessions = host.list_sessions();
    return std::any_of(sessions.begin(), sessions.end(), [](const ListedSession& session) {
      return session.name == "counter" && !session.incoming && session.descriptors == 1;
    });
  }

  /// The command's process id; 0 if there is none.
  [[nodiscard]] pid_t command() const {
    const auto pid = std::to_string(keeper->pid());
    const auto children = text_of("/proc/" + pid + "/task/" + pid + "/children");
    return static_cast<pid_t>(std::strtol(children.c_str(), nullptr, 10));
  }

  /// How far the command has counted.
  [[nodiscard]] unsigned long count() const {
    const auto memory = "/proc/" + std::to_string(command()) + "/fd/3";
    const UniqueFd fd(open(memory.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text(digits, '\0');
    if (pread(fd.get(), text.data(), digits, 0) != static_cast<ssize_t>(digits)) return 0;
    return std::strtoul(text.c_str(), nullptr, 10);
  }

  /// The update is over; the command is the same process, moves, and is ready for the next one.
  void expect_goes_on(pid_t before, unsigned long counted) {
    const auto finished = host.finished();
    EXPECT_EQ(finished.outcome, "done") << finished.reason;
    EXPECT_TRUE(host.observer().all("StateLost").empty());
    EXPECT_FALSE(status.has_value()) << "handover-memfd ended";
    EXPECT_EQ(command(), before);
    EXPECT_TRUE(host.run_until([&] { return count() > counted; })) << "the command stands still";
    EXPECT_TRUE(host.run_until([&] { return preserved() && host.state() == "normal"; }));
  }

  Host host;
  std::string freeze = "sigstop";
  std::string script = counting;
  std::optional<ChildProcess> keeper;
  std::optional<int> status;
};

TEST_F(MemfdClient, GoesOnAfterAnUpdate) {
  for (std::uint64_t generation = 1; generation <= 2; ++generation) {
    const auto before = command();
    host.observer().clear();
    ASSERT_TRUE(host.update().ok());
    expect_goes_on(before, count());
    EXPECT_EQ(host.generation(), generation);
  }
}

/// Its daemon says every 100 ms that it lives.
class MemfdClientOfAWatchedDaemon : public MemfdClient {
 protected:
  MemfdClientOfAWatchedDaemon() { host.manager().watch(std::chrono::milliseconds(200)); }
};

/// The daemon gives the memory back, writes that down, and dies before it has heard that the client
/// is restored: its successor calls Restore once more, and the memory can be had only once.
TEST_F(MemfdClientOfAWatchedDaemon, GoesOnWhenRestoreIsRepeated) {
  const auto before = command();
  const auto file = host.directory().path("run/manifest.json");
  // The gate asks as long as there is a daemon: also in TearDown(), when this function is over.
  const auto killed_at = std::make_shared<std::optional<Manifest>>();
  host.manager().set_restarts(false);
  using Clock = std::chrono::steady_clock;
  // The client is stopped with each message to it, and goes on when that has been written down.
  const auto held = std::make_shared<std::optional<Clock::time_point>>();
  const auto hold = [held, pid = keeper->pid()](bool stop) {
    kill(pid, stop ? SIGSTOP : SIGCONT);
    *held = stop ? std::optional(Clock::now()) : std::nullopt;
  };
  host.gate().decide([killed_at, file, held, hold](SyscallGate::Stop) {
    if (*killed_at) return true;
    const auto manifest = parse_manifest(text_of(file));
    if (!manifest || manifest->state != State::restoring || manifest->sessions.empty()) return true;
    const bool kill =
        !manifest->sessions[0].tokens.empty() && manifest->sessions[0].tokens[0].retrieved;
    if (kill) *killed_at = *manifest;
    if (kill || !*held) {
      hold(!kill);
    } else if (Clock::now() - **held > std::chrono::milliseconds(50)) {
      hold(false);
    }
    return !kill;
  });
  ASSERT_TRUE(host.update().ok());
  ASSERT_TRUE(host.run_until([&] { return *killed_at && !host.manager().running(); }));
  Manifest last = **killed_at;
  // A client that answers fast is written down at the same time as its memory; here it is not.
  ASSERT_EQ(last.clients.size(), 1U);
  last.clients[0].phase = ClientPhase::restoring;
  last.sessions[0].ending = false;
  host.directory().write("run/manifest.json", serialize(last));
  host.manager().set_restarts(true);
  host.boot();
  expect_goes_on(before, count());
  EXPECT_EQ(host.generation(), 1U);
}

/// Its command notes in a file that it was asked to stop, and does so a second later.
class MemfdClientThatStopsLate : public MemfdClient {
 protected:
  MemfdClientThatStopsLate() {
    freeze = "signal:USR1";
    script = "trap 'echo >>" + asked() + "; sleep 1; kill -STOP $$' USR1; " + counting;
  }

  [[nodiscard]] std::string asked() const { return host.directory().path("asked"); }
  [[nodiscard]] bool was_asked(std::size_t times) {
    return host.run_until([&] { return text_of(asked()).size() == times; });
  }

  /// An update that another client vetoes while the command is about to stop.
  void give_an_update_up(ScriptedClient& other) {
    other.start();
    ASSERT_TRUE(other.started());
    ASSERT_TRUE(host.update_held_by(other, Call::freeze));
    ASSERT_TRUE(was_asked(1));
    other.veto_held();
    EXPECT_EQ(host.finished().outcome, "failed");
  }

  /// Only called while the command, on its way to stop, does not count.
  void expect_counts_on() {
    const auto counted = count();
    EXPECT_GT(counted, 0U);
    EXPECT_TRUE(host.run_until([&] { return count() > counted; })) << "the command stands still";
  }
};

TEST_F(MemfdClientThatStopsLate, GoesOnIfTheUpdateWasGivenUp) {
  give_an_update_up(host.add({.name = "other"}));
  expect_counts_on();
}

/// The stop that the first update asked for counts for the second one, whose own comes afterwards.
TEST_F(MemfdClientThatStopsLate, GoesOnAfterTheNextUpdate) {
  auto& other = host.add({.name = "other"});
  const auto before = command();
  give_an_update_up(other);
  other.on(Call::freeze, ScriptedClient::Behaviour::answer);
  host.observer().clear();
  ASSERT_TRUE(host.update().ok());
  expect_goes_on(before, count());
  ASSERT_TRUE(was_asked(2));
  expect_counts_on();
}

}  // namespace
}  // namespace handover::test

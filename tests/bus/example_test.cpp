// SPDX-License-Identifier: LGPL-2.1-or-later
// The programs of client/lib/examples: what is put into each cache is there after an update, and
// after its own death.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "child_process.h"
#include "host.h"

namespace handover::test {
namespace {

struct Example {
  const char* name;
  std::vector<std::string> command;
};

class Examples : public testing::TestWithParam<Example> {
 protected:
  void SetUp() override {
    // Debian's own interpreter, for which python3-dbus is.
    if (GetParam().name == std::string("Python") &&
        std::system("/usr/bin/python3 -c 'import dbus, gi' 2>/dev/null") != 0) {
      GTEST_SKIP() << "python3-dbus or python3-gi is not here";
    }
    host.boot();
    start();
  }

  void TearDown() override {
    if (testing::Test::HasFailure()) {
      std::fprintf(stderr, "---- the example's output\n%s\n", text_of(log()).c_str());
    }
  }

  void start() {
    std::array<int, 2> pipe_fds = {-1, -1};
    must(pipe2(pipe_fds.data(), O_CLOEXEC), "a pipe");
    const UniqueFd read_end(pipe_fds[0]);
    input = UniqueFd(pipe_fds[1]);
    ChildProcess::Setup setup;
    setup.argv = GetParam().command;
    setup.argv.emplace_back("cache");
    setup.environment = {"HANDOVER_PRIVATE_SOCKET=" + host.directory().path("run/private"),
                         "DBUS_SYSTEM_BUS_ADDRESS=" + host.bus().address()};
    setup.log = log();
    setup.in_child = [&] { dup2(read_end.get(), STDIN_FILENO); };
    process.emplace(host.loop(), setup, [this](int ended) { status = ended; });
  }

  [[nodiscard]] std::string log() const { return host.directory().path("example.log"); }

  /// It says `line` after all that was waited for before.
  [[nodiscard]] bool says(const std::string& line) {
    std::size_t at = std::string::npos;
    const bool said = host.run_until([&] {
      at = text_of(log()).find(line + "\n", heard);
      return at != std::string::npos || status.has_value();
    });
    if (!said || at == std::string::npos) return false;
    heard = at + line.size() + 1;
    return true;
  }

  [[nodiscard]] bool answers(const std::string& command, const std::string& answer) {
    const auto line = command + "\n";
    must(static_cast<int>(write(input.get(), line.data(), line.size())), "a command");
    return says(answer);
  }

  [[nodiscard]] bool preserved() {
    return host.run_until([&] {
      const auto sessions = host.list_sessions();
      return sessions.size() == 1 && !sessions[0].incoming && sessions[0].descriptors == 1;
    });
  }

  Host host;
  UniqueFd input;
  std::optional<ChildProcess> process;
  std::optional<int> status;
  std::size_t heard = 0;
};

TEST_P(Examples, KeepsWhatItWasGiven) {
  ASSERT_TRUE(says("ready"));
  ASSERT_TRUE(answers("put colour green", "ok"));
  ASSERT_TRUE(answers("put colour dark blue", "ok"));
  for (std::uint64_t generation = 1; generation <= 2; ++generation) {
    ASSERT_TRUE(preserved());
    host.update_ends("done");
    ASSERT_TRUE(says("restored in generation " + std::to_string(generation)));
    ASSERT_TRUE(answers("get colour", "dark blue"));
    ASSERT_TRUE(answers("put number " + std::to_string(generation), "ok"));
    EXPECT_TRUE(host.observer().all("StateLost").empty());
    host.observer().clear();
  }
  // Killed, it finds its memory again, which the daemon holds.
  ASSERT_TRUE(preserved());
  process->signal(SIGKILL);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  status.reset();
  start();
  ASSERT_TRUE(says("found again"));
  ASSERT_TRUE(says("ready"));
  ASSERT_TRUE(answers("get colour", "dark blue"));
  ASSERT_TRUE(answers("get number", "2"));
  host.observer().clear();
  host.update_ends("done");
  ASSERT_TRUE(says("restored in generation 3"));
  ASSERT_TRUE(answers("get number", "2"));
  // The end of its input is its own.
  input = UniqueFd();
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0) << *status;
}

/// It died between making its session and preserving its memory.
TEST_P(Examples, PreservesAgainstAnEmptySession) {
  ASSERT_TRUE(says("ready"));
  ASSERT_TRUE(preserved());
  process->signal(SIGKILL);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  status.reset();
  ASSERT_TRUE(host.end_session("cache", "Discard").ok());
  ASSERT_TRUE(host.create_session("cache").ok());
  start();
  ASSERT_TRUE(says("ready"));
  ASSERT_TRUE(answers("put colour green", "ok"));
  ASSERT_TRUE(preserved());
  host.update_ends("done");
  ASSERT_TRUE(says("restored in generation 1"));
  ASSERT_TRUE(answers("get colour", "green"));
}

/// An update that does not come changes nothing for it.
TEST_P(Examples, GoesOnAfterAnUpdateThatFails) {
  ASSERT_TRUE(says("ready"));
  ASSERT_TRUE(answers("put colour green", "ok"));
  auto& other = host.add({.name = "other"});
  other.start();
  ASSERT_TRUE(other.started());
  other.on(Call::freeze, ScriptedClient::Behaviour::veto);
  host.update_ends("failed");
  ASSERT_TRUE(answers("get colour", "green"));
  ASSERT_TRUE(answers("put colour red", "ok"));
  host.expect_calm();
}

INSTANTIATE_TEST_SUITE_P(Languages, Examples,
                         testing::Values(Example{"C", {HANDOVER_EXAMPLE_C}},
                                         Example{"Cpp", {HANDOVER_EXAMPLE_CPP}},
                                         Example{"Python",
                                                 {"/usr/bin/python3", HANDOVER_SOURCE_DIR
                                                  "/client/lib/examples/cache.py"}}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace handover::test

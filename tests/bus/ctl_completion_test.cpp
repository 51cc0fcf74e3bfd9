// SPDX-License-Identifier: LGPL-2.1-or-later
// What bash completes for handoverctl from what the daemon says; the words that are always the same
// are compared by tests/unit/client/ctl_completion.py.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <sstream>

#include "child_process.h"
#include "host.h"
#include "memory.h"

namespace handover::test {
namespace {

/// What `handoverctl WORDS… <TAB>` offers, with the cursor behind the last word.
std::set<std::string> completions(Host& host, const std::string& words) {
  const auto out = host.directory().write("offered", "");
  const auto bin = std::filesystem::path(HANDOVERCTL_PROGRAM).parent_path().string();
  ChildProcess::Setup setup;
  setup.argv = {"/bin/bash", "-c",
                "cd '" + host.directory().path() + "'; PATH=" + bin +
                    ":$PATH; . " HANDOVER_SOURCE_DIR
                    // A tabulator does not wait for long, but this machine may be slow.
                    "/client/ctl/handoverctl.bash; "
                    "handoverctl() { command handoverctl --json --timeout 60 \"${@:4}\"; }; "
                    "COMP_WORDS=(handoverctl " +
                    words +
                    "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "
                    "_handoverctl; printf '%s\\n' \"${COMPREPLY[@]}\" > " +
                    out};
  setup.environment = {"HANDOVER_PRIVATE_SOCKET=",
                       "DBUS_SYSTEM_BUS_ADDRESS=" + host.bus().address()};
  setup.log = host.directory().path("bash.log");
  std::optional<int> status;
  const ChildProcess child(host.loop(), setup, [&](int ended) { status = ended; });
  EXPECT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_EQ(text_of(setup.log), "");
  std::istringstream stream(text_of(out));
  std::set<std::string> offered;
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) offered.insert(line);
  }
  return offered;
}

using Words = std::set<std::string>;

TEST(CtlCompletion, OffersWhatTheDaemonHas) {
  Host host;
  host.boot();
  auto& client = host.add({.name = "cache"});
  client.keep("photos", 17, 1, 10);
  client.keep("photos", 18, 1, 10);
  ASSERT_TRUE(host.start_clients());
  ASSERT_TRUE(host.create_session("notes").ok());

  EXPECT_EQ(completions(host, "sessions ''"), (Words{"notes", "photos"}));
  EXPECT_EQ(completions(host, "session finish ph"), Words{"photos"});
  EXPECT_EQ(completions(host, "session unpreserve --json photos ''"), (Words{"17", "18"}));
  EXPECT_EQ(completions(host, "session retrieve photos 17 ''"), Words{"--"});
  EXPECT_EQ(completions(host, "session create --client ''"), Words{"cache"});
  EXPECT_EQ(completions(host, "client unregister c"), Words{"cache"});
  EXPECT_EQ(completions(host, "-H elsewhere client unregister c"), Words{})
      << "an ssh for a tabulator";

  host.update_ends("done");
  const auto id = host.history()[0]["id"].get<std::uint64_t>();
  EXPECT_EQ(completions(host, "history ''"), Words{std::to_string(id)});
}

TEST(CtlCompletion, RunsNothingThatIsInAName) {
  Host host;
  host.boot();
  auto& client = host.add({.name = "cache"});
  client.keep("$(touch touched) `touch touched`", 17, 1, 10);
  ASSERT_TRUE(host.start_clients());
  const std::string quoted = R"(\$\(touch\ touched\)\ \`touch\ touched\`)";
  EXPECT_EQ(completions(host, "sessions ''"), Words{quoted});
  EXPECT_EQ(completions(host, "session finish '$(to'"), Words{quoted});
  EXPECT_EQ(completions(host, R"(session finish '\$\(to')"), Words{quoted});
  EXPECT_EQ(completions(host, "session retrieve '" + quoted + "' ''"), Words{"17"});
  EXPECT_FALSE(std::filesystem::exists(host.directory().path("touched")));
}

TEST(CtlCompletion, IsSilentWithoutADaemon) {
  Host host;
  EXPECT_EQ(completions(host, "sessions n"), Words{});
}

}  // namespace
}  // namespace handover::test

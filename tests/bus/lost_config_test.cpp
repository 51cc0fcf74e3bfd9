// SPDX-License-Identifier: LGPL-2.1-or-later
// The configuration is lost between two kernels: the workloads are not.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>
#include <ostream>

#include "host.h"

namespace handover::test {
namespace {

struct Loss {
  const char* name;
  const char* text;  ///< null: the file is gone
};

void PrintTo(const Loss& loss, std::ostream* out) { *out << loss.name; }

/// A client that is held in `call` of an update whose configuration allows one session.
class LostConfig : public testing::TestWithParam<Loss> {
 protected:
  void SetUp() override {
    host.boot();
    client = &host.add({.name = "client"});
    client->keep("memory", 1, 1, 5000);
    ASSERT_TRUE(host.start_clients());
    ASSERT_TRUE(host.update_held_by(*client, Call::freeze));
    if (GetParam().text == nullptr) {
      std::filesystem::remove(path);
    } else {
      host.directory().write("handoverd.json", GetParam().text);
    }
    host.manager().set_restarts(false);  // systemd would try for ever
  }

  void expect_end(const char* outcome) {
    ASSERT_TRUE(host.run_until([&] {
      return !host.observer().all("UpdateFinished").empty() || !host.manager().running();
    }));
    ASSERT_TRUE(host.manager().running()) << "the daemon does not come up";
    EXPECT_EQ(host.finished().outcome, outcome);
    // What was configured holds, and the log says where it comes from.
    EXPECT_EQ(host.create_session("second").error, error_name("LimitExceeded"));
    EXPECT_TRUE(host.log_says(path));
  }

  Host host{{{"max_sessions_per_user", 1}}};
  const std::string path = host.directory().path("handoverd.json");
  ScriptedClient* client = nullptr;
};

TEST_P(LostConfig, AtTheKexecIsThatOfTheUpdate) {
  client->let_go();
  expect_end("done");
  ASSERT_TRUE(client->started());
  EXPECT_EQ(client->memory()[0].retrieved, 1U);
  host.expect_calm();
}

TEST_P(LostConfig, AtACrashIsThatOfTheUpdate) {
  host.manager().kill_daemon();
  ASSERT_TRUE(host.run_until([&] { return !host.manager().running(); }));
  client->on(Call::freeze, ScriptedClient::Behaviour::answer);
  host.manager().start();
  expect_end("failed");
  host.expect_calm();
}

INSTANTIATE_TEST_SUITE_P(Files, LostConfig,
                         testing::Values(Loss{"Empty", ""}, Loss{"Torn", "{\"mode\": \"imm"},
                                         Loss{"OfAnotherVersion", "{\"unknown\": 1}"},
                                         Loss{"Gone", nullptr}),
                         [](const auto& loss) { return loss.param.name; });

/// It was gone at the start only: /etc came late, or somebody has put it back.
TEST(LateConfig, IsUsedWhenItIsThere) {
  Host host{{{"max_sessions_per_user", 1}}};
  host.boot();
  auto& client = host.add({.name = "client"});
  client.keep("memory", 1, 1, 5000);
  ASSERT_TRUE(host.start_clients());
  ASSERT_TRUE(host.update_held_by(client, Call::freeze));
  const auto path = host.directory().path("handoverd.json");
  const auto aside = host.directory().path("aside.json");
  std::filesystem::rename(path, aside);
  client.let_go();
  EXPECT_EQ(host.finished().outcome, "done");
  ASSERT_TRUE(host.log_says("cannot open " + path));
  std::filesystem::rename(aside, path);
  EXPECT_TRUE(host.run_until([&] { return host.log_says("is used (again)"); }));
}

/// There is nobody to go on for: better to be told.
TEST(BadConfig, WithoutAManifestIsAnError) {
  Host host;
  const auto& directory = host.directory();
  ChildProcess::Setup setup;
  setup.argv = {HANDOVERD_PROGRAM,
                "--config",
                directory.write("bad.json", ""),
                "--runtime-directory",
                directory.path("run"),
                "--state-directory",
                directory.path("state")};
  setup.environment = {"DBUS_SYSTEM_BUS_ADDRESS=" + host.bus().address()};
  setup.log = directory.path("bad.log");
  std::optional<int> status;
  const ChildProcess daemon(host.loop(), setup, [&](int ended) { status = ended; });
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status));
  EXPECT_EQ(WEXITSTATUS(*status), 1);
  EXPECT_NE(text_of(setup.log).find("bad.json"), std::string::npos) << text_of(setup.log);
}

}  // namespace
}  // namespace handover::test

// SPDX-License-Identifier: LGPL-2.1-or-later
// A rehearsal on the bus and by handoverctl: what a caller asks for, sees and may do next.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ctl.h"
#include "host.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

class Rehearsal : public testing::Test {
 protected:
  void SetUp() override {
    host.boot();
    below = &host.add({.name = "below"});
    above = &host.add({.name = "above", .needs = {"below"}});
    below->keep("below", 1, 1, 5000);
    above->keep("above", 1, 2, 5000);
    ASSERT_TRUE(host.start_clients());
  }
  Answer rehearse() { return host.request("Rehearse"); }

  Host host;
  ScriptedClient* below = nullptr;
  ScriptedClient* above = nullptr;
};

TEST_F(Rehearsal, TellsClientsAndEndsPrepared) {
  ASSERT_TRUE(rehearse().ok());
  const auto finished = host.finished();
  EXPECT_EQ(finished.outcome, "rehearsed");
  EXPECT_EQ(host.state(), "prepared");
  EXPECT_EQ(below->arguments().at("stays-prepared"), "true");
  EXPECT_EQ(below->arguments().at("reason"), "It was a rehearsal.");
  EXPECT_FALSE(below->frozen());
  EXPECT_EQ(host.journal().count("below", Call::freeze), 1U);
  EXPECT_EQ(host.journal().count("below", Call::thaw), 1U);
  const auto record = host.history()[0];
  EXPECT_EQ(record["outcome"], "rehearsed");
  EXPECT_TRUE(record["rehearsal"].is_object());
  EXPECT_EQ(record["blackout_client"], "above");
  EXPECT_GT(record["blackout_usec"], 0);

  ASSERT_TRUE(host.update().ok());
  EXPECT_EQ(host.finished().outcome, "done");
  EXPECT_EQ(host.journal().count("below", Call::prepare), 1U);
  EXPECT_EQ(host.history().size(), 2U);
  host.expect_calm();
}

TEST_F(Rehearsal, FreezeSaysWhatItIs) {
  below->on(Call::freeze, Behaviour::hold);
  ASSERT_TRUE(rehearse().ok());
  ASSERT_TRUE(host.run_until([&] { return below->holds(); }));
  EXPECT_EQ(below->arguments().at("rehearsal"), "true");
  EXPECT_EQ(host.update().error, error_name("Busy"));
  below->let_go();
  EXPECT_EQ(host.finished().outcome, "rehearsed");
  ASSERT_TRUE(host.cancel().ok());
  EXPECT_EQ(host.finished().outcome, "cancelled");
  EXPECT_EQ(host.journal().count("below", Call::cancel), 1U);
  host.expect_calm();
}

TEST_F(Rehearsal, HasALimitOfItsOwn) {
  below->on(Call::freeze, Behaviour::hold);
  const auto end = run_ctl(host, {"update", "--rehearse", "--at-most", "200ms"});
  EXPECT_EQ(end.code, 6) << end.err;
  EXPECT_NE(end.err.find("The rehearsal failed"), std::string::npos) << end.err;
  EXPECT_NE(end.err.find("client 'below'"), std::string::npos) << end.err;
  EXPECT_NE(end.err.find("200 ms"), std::string::npos) << end.err;
  EXPECT_EQ(host.state(), "normal");
  below->veto_held();
  host.expect_calm();
}

TEST_F(Rehearsal, ByHandoverctl) {
  const auto end = run_ctl(host, {"update", "--rehearse", "--at-most", "1s"});
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_NE(end.out.find(": rehearsed, blackout "), std::string::npos) << end.out;
  EXPECT_NE(end.out.find("rehearsal of at most 1.000 s"), std::string::npos) << end.out;
  EXPECT_NE(end.out.find("not rehearsed: Restore"), std::string::npos) << end.out;
  EXPECT_NE(end.out.find("'handoverctl update' goes on from here"), std::string::npos) << end.out;
  EXPECT_EQ(host.state(), "prepared");
  const auto json = run_ctl(host, {"--json", "update", "--rehearse"});
  EXPECT_EQ(json.code, 0) << json.err;
  EXPECT_EQ(json.out_json()["result"], "done");
  EXPECT_EQ(json.out_json()["update"]["outcome"], "rehearsed");
  const auto whole = run_ctl(host, {"update"});
  EXPECT_EQ(whole.code, 0) << whole.err;
  EXPECT_EQ(host.journal().count("below", Call::prepare), 1U);
}

TEST_F(Rehearsal, RefusesWhatItCannotUse) {
  const std::vector<std::pair<std::vector<std::string>, int>> wrong = {
      {{"update", "--at-most", "500ms"}, 2},
      {{"update", "--rehearse", "--at-most", "500"}, 2},
      {{"update", "--rehearse", "--at-most", "0ms"}, 2},
      {{"update", "--rehearse", "--at-most", "-1ms"}, 2},
      {{"update", "--rehearse", "--at-most", "2h"}, 2},
      {{"update", "--rehearse", "--at-most", "99999999999999999999s"}, 2},
      {{"update", "--rehearse", "--at-most", ""}, 2},
      {{"prepare", "--rehearse"}, 2},
  };
  for (const auto& [arguments, code] : wrong) {
    const auto end = run_ctl(host, arguments);
    EXPECT_EQ(end.code, code) << testing::PrintToString(arguments) << end.err;
    EXPECT_EQ(std::count(end.err.begin(), end.err.end(), '\n'), 1) << end.err;
  }
  for (const std::uint64_t usec : {std::uint64_t{0}, std::uint64_t{3'600'000'001}}) {
    EXPECT_EQ(host.admin()
                  .call(manager_path, manager_interface, "Rehearse",
                        with("a{sv}", 1, "at-most-usec", "t", usec))
                  .error,
              error_name("InvalidArgument"));
  }
  // An update has no such limit.
  EXPECT_EQ(host.admin()
                .call(manager_path, manager_interface, "Update",
                      with("a{sv}", 1, "at-most-usec", "t", std::uint64_t{5000}))
                .error,
            error_name("InvalidArgument"));
  EXPECT_EQ(host.state(), "normal");
  EXPECT_EQ(host.history().size(), 0U);
}

TEST_F(Rehearsal, ADaemonKilledInItThawsEverybody) {
  below->on(Call::freeze, Behaviour::hold);
  ASSERT_TRUE(rehearse().ok());
  ASSERT_TRUE(host.run_until([&] { return below->holds(); }));
  ASSERT_TRUE(above->frozen());
  ASSERT_TRUE(host.kill_daemon());
  ASSERT_TRUE(host.run_until([&] { return !above->frozen() && host.state() == "normal"; }));
  EXPECT_EQ(host.history()[0]["outcome"], "failed");
  EXPECT_TRUE(host.history()[0]["rehearsal"].is_object());
}

}  // namespace
}  // namespace handover::test

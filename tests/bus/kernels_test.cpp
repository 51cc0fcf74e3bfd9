// SPDX-License-Identifier: LGPL-2.1-or-later
// The health command after an update, and which kernels are good, bad or untried. Emulated updates
// go into no kernel, so that what is bad here was written by the test.
#include <gtest/gtest.h>

#include "ctl.h"

namespace handover::test {
namespace {

constexpr int not_found = 3;

nlohmann::json health(const std::string& script, const std::string& timeout = "1min") {
  return {{"health", {{"command", {"/bin/sh", "-c", script}}, {"timeout", timeout}}}};
}

/// Waits for the new kernel's verdict.
std::vector<std::string> judged(Host& host) {
  if (!host.run_until([&] { return !host.observer().all("KernelJudged").empty(); })) return {};
  return host.observer().all("KernelJudged").back().arguments;
}

/// Of an update that is done all the same.
std::vector<std::string> bad_verdict(Host& host) {
  host.boot();
  host.add({.name = "client"});
  EXPECT_TRUE(host.start_clients());
  host.update_ends("done");
  auto verdict = judged(host);
  if (verdict.size() > 1) {
    EXPECT_EQ(verdict[1], "bad");
  }
  return verdict;
}

TEST(Health, PassesAfterTheClientsAreRestored) {
  const TemporaryDirectory directory;
  const auto seen = directory.path("seen");
  Host host(health("echo $HANDOVER_UPDATE $HANDOVER_KERNEL >>" + seen));
  host.boot();
  auto& client = host.add({.name = "client"});
  client.keep("memory", 1, 1, 20'000);
  ASSERT_TRUE(host.start_clients());
  host.update_ends("done");
  const auto verdict = judged(host);
  ASSERT_EQ(verdict.size(), 4U);
  EXPECT_EQ(verdict[1], "good");
  EXPECT_EQ(verdict[2], "");
  EXPECT_EQ(verdict[3], "1");
  EXPECT_TRUE(host.run_until([&] { return host.history()[0].value("health", "") == "passed"; }));
  EXPECT_EQ(text_of(seen),
            std::to_string(host.history()[0]["id"].get<int>()) + " " + verdict[0] + "\n");
  host.expect_calm();
}

TEST(Health, FailsWithItsLastLineAndTheUpdateIsDoneAllTheSame) {
  Host host(health("echo the web server does not answer; exit 1"));
  const auto verdict = bad_verdict(host);
  ASSERT_EQ(verdict.size(), 4U);
  EXPECT_NE(verdict[2].find("status 1; its last line was 'the web server does not answer'"),
            std::string::npos)
      << verdict[2];
  ASSERT_TRUE(host.run_until([&] { return host.history()[0].value("health", "") == "failed"; }));
  EXPECT_EQ(host.history()[0]["health_reason"], verdict[2]);
  const auto shown = run_ctl(host, {"history", std::to_string(host.history()[0]["id"].get<int>())});
  EXPECT_NE(shown.out.find("health: failed"), std::string::npos) << shown.out;
  host.expect_calm();
}

TEST(Health, IsKilledWhenItsTimeIsOver) {
  Host host(health("sleep 600", "200ms"));
  const auto verdict = bad_verdict(host);
  ASSERT_EQ(verdict.size(), 4U);
  EXPECT_NE(verdict[2].find("it took longer than 200 ms"), std::string::npos) << verdict[2];
}

TEST(Kernels, AreShownAndAllowedAgain) {
  Host host;
  host.directory().write(
      "state/kernels.json",
      R"({"version":1,"kernels":[{"release":"1.2.3-bad","image":"5-00000005","state":"bad",)"
      R"("reason":"the health command failed","when":"2026-11-30T12:00:00Z","update":4}]})");
  host.boot();
  const auto listed = run_ctl(host, {"--json", "kernels"});
  EXPECT_EQ(listed.code, 0) << listed.err;
  const auto json = listed.out_json();
  ASSERT_TRUE(json.is_object() && json["kernels"].is_array()) << listed.out;
  int remembered = 0;
  for (const auto& kernel : json["kernels"]) {
    EXPECT_TRUE(kernel["running"].is_boolean());
    if (kernel["release"] == "1.2.3-bad") {
      ++remembered;
      EXPECT_EQ(kernel["path"], "") << "its image is gone";
      EXPECT_EQ(kernel["state"], "bad");
      continue;
    }
    EXPECT_TRUE(kernel["path"].get<std::string>().starts_with('/')) << kernel;
    EXPECT_EQ(kernel["state"], "untried") << kernel;
  }
  EXPECT_EQ(remembered, 1);
  const auto table = run_ctl(host, {"kernels"});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_TRUE(table.out.starts_with("RELEASE")) << table.out;

  const auto none = run_ctl(host, {"kernels", "allow", "9.9.9"});
  EXPECT_EQ(none.code, not_found) << none.err;
  EXPECT_EQ(run_ctl(host, {"kernels", "allow", ""}).code, 2);
  EXPECT_NE(text_of(host.directory().path("state/kernels.json")).find("1.2.3-bad"),
            std::string::npos);
  const auto allowed = run_ctl(host, {"kernels", "allow", "1.2.3-bad"});
  EXPECT_EQ(allowed.code, 0) << allowed.err;
  EXPECT_EQ(text_of(host.directory().path("state/kernels.json")).find("1.2.3-bad"),
            std::string::npos);
  EXPECT_EQ(run_ctl(host, {"kernels", "allow", "1.2.3-bad"}).code, not_found);
}

}  // namespace
}  // namespace handover::test

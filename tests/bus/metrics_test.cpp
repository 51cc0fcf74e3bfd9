// SPDX-License-Identifier: LGPL-2.1-or-later
// handoverctl metrics with the daemon, read by Prometheus' own programs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "ctl.h"
#include "memory.h"

namespace handover::test {
namespace {

constexpr int unreachable = 8;

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

/// What a program of this host says of `text`; none if the program is not here.
std::optional<CtlEnd> judged(Host& host, const std::vector<std::string>& argv,
                             const std::string& text) {
  if (std::system(("command -v " + argv.front() + " >/dev/null").c_str()) != 0) return std::nullopt;
  const auto input = host.directory().write("judged", text);
  ChildProcess::Setup setup;
  setup.argv = {"/usr/bin/env"};
  setup.argv.insert(setup.argv.end(), argv.begin(), argv.end());
  setup.log = host.directory().write("judge.log", "");
  setup.in_child = [&input] {
    const UniqueFd file(open(input.c_str(), O_RDONLY | O_CLOEXEC));
    dup2(file.get(), STDIN_FILENO);
  };
  std::optional<int> status;
  const ChildProcess child(host.loop(), setup, [&](int ended) { status = ended; });
  EXPECT_TRUE(host.run_until([&] { return status.has_value(); }));
  CtlEnd end;
  if (status && WIFEXITED(*status)) end.code = WEXITSTATUS(*status);
  end.err = text_of(setup.log);
  return end;
}

/// A host with a client, and an update behind it.
void go_through_an_update(Host& host) {
  host.boot();
  auto& client = host.add({.name = "db-1"});
  client.keep("tables", 1, 1, 10);
  ASSERT_TRUE(host.start_clients());
  host.update_ends("done");
}

CtlEnd request(Host& host, const std::string& text) {
  const auto input = host.directory().write("request", text);
  return run_ctl(host, {"metrics", "--http"}, [&input] {
    const UniqueFd file(open(input.c_str(), O_RDONLY | O_CLOEXEC));
    dup2(file.get(), STDIN_FILENO);
  });
}

TEST(MetricsOfTheDaemon, TellOfAnUpdate) {
  Host host;
  go_through_an_update(host);
  const auto end = run_ctl(host, {"metrics"});
  EXPECT_EQ(end.code, 0) << end.err;
  for (const auto* line :
       {"handover_up 1", "handover_generation 1", "handover_state{state=\"normal\"} 1",
        "handover_clients{phase=\"idle\"} 1", "handover_sessions{direction=\"outgoing\"} 1",
        "handover_preserved_descriptors{backend=\"emulated\"} 1",
        "handover_updates{mode=\"emulated\",outcome=\"done\"} 1", "handover_last_update_success 1",
        "handover_blackout_seconds_count{kind=\"update\"} 1",
        "handover_standstill_seconds_count{kind=\"update\"} 1", "handover_losses 0"}) {
    EXPECT_TRUE(has_line(end.out, line)) << line << "\n" << end.out;
  }
  EXPECT_NE(end.out.find("handover_last_update_standstill_seconds{client=\"db-1\"} "),
            std::string::npos);
  EXPECT_EQ(end.out.substr(end.out.size() - 6), "# EOF\n");
  EXPECT_EQ(end.out.find("handover_preflight"), std::string::npos) << "nobody has asked";
  EXPECT_EQ(end.out.find("handover_fleet"), std::string::npos);
}

/// Each of the daemon's statistics is known here, or a new one would be missed.
TEST(MetricsOfTheDaemon, HaveEachStatistic) {
  Host host;
  host.boot();
  const auto text = run_ctl(host, {"metrics", "--text"}).out;
  for (const auto& [name, value] : host.statistics()) {
    std::string metric = "\nhandover_daemon_" + name;
    if (const auto unit = metric.rfind("-usec"); unit != std::string::npos) metric.resize(unit);
    std::replace(metric.begin(), metric.end(), '-', '_');
    EXPECT_NE(text.find(metric), std::string::npos) << name;
  }
}

TEST(MetricsOfTheDaemon, PassPromtool) {
  Host host;
  go_through_an_update(host);
  const auto gate = host.directory().write(
      "fleet.json", R"({"window": {"open": true}, "lock": {"kind": "etcd", "held": false}})");
  const auto text = run_ctl(host, {"metrics", "--text", "--preflight", "--fleet-state", gate});
  EXPECT_TRUE(has_line(text.out, "handover_preflight_up 1")) << text.err;
  EXPECT_TRUE(has_line(text.out, "handover_fleet_window_open 1"));
  const auto said = judged(host, {"promtool", "check", "metrics"}, text.out);
  if (!said) GTEST_SKIP() << "promtool is not here (package prometheus)";
  EXPECT_EQ(said->code, 0) << said->err;
  EXPECT_EQ(said->err, "");
}

TEST(MetricsOfTheDaemon, AreOpenMetrics) {
  Host host;
  go_through_an_update(host);
  const std::string parser =
      "import sys\n"
      "try: from prometheus_client.openmetrics import parser\n"
      "except ImportError: sys.exit(77)\n"
      "print(len(list(parser.text_string_to_metric_families(sys.stdin.read()))))\n";
  const auto said = judged(host, {"/usr/bin/python3", "-c", parser},
                           run_ctl(host, {"metrics", "--preflight"}).out);
  if (!said || said->code == 77) GTEST_SKIP() << "python3-prometheus-client is not here";
  EXPECT_EQ(said->code, 0) << said->err;
}

TEST(MetricsOfTheDaemon, ReplaceAFileAsAWhole) {
  Host host;
  host.boot();
  const auto path = host.directory().path("handover.prom");
  const auto end = run_ctl(host, {"metrics", "--output", path});
  EXPECT_EQ(end.code, 0) << end.err;
  EXPECT_EQ(end.out, "");
  struct stat found = {};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0644U) << "node_exporter is another user";
  EXPECT_TRUE(has_line(text_of(path), "# TYPE handover_daemon_events_total counter"));

  // What is there stays until all of the new one is.
  const UniqueFd old(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  ASSERT_EQ(run_ctl(host, {"metrics", "--output", path}).code, 0);
  struct stat now = {};
  ASSERT_EQ(stat(path.c_str(), &now), 0);
  EXPECT_NE(now.st_ino, found.st_ino);
  EXPECT_EQ(now.st_mode & 0777U, 0640U) << "the administrator's choice";

  const auto nowhere = run_ctl(host, {"metrics", "--output", "/nowhere/handover.prom"});
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_NE(nowhere.err.find("/nowhere/handover.prom: No such file"), std::string::npos)
      << nowhere.err;
}

TEST(MetricsOfTheDaemon, SayThatItIsNotThere) {
  Host host;
  const auto path = host.directory().path("handover.prom");
  const auto end = run_ctl(host, {"metrics", "--output", path});
  EXPECT_EQ(end.code, unreachable);
  EXPECT_NE(end.err, "");
  EXPECT_TRUE(has_line(text_of(path), "handover_up 0"));

  const auto answer = request(host, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(answer.out.rfind("HTTP/1.1 200 OK\r\n", 0), 0U) << answer.out;
  EXPECT_TRUE(has_line(answer.out, "handover_up 0"));

  const auto nowhere = run_ctl(host, {"metrics", "--output", "/nowhere/handover.prom"});
  EXPECT_EQ(nowhere.code, 1) << "this is what the administrator can do something about";
}

TEST(MetricsOfTheDaemon, AnswerHttp) {
  Host host;
  host.boot();
  const auto status_of = [&host](const std::string& text) {
    const auto end = request(host, text);
    EXPECT_EQ(end.code, 0) << end.err;
    EXPECT_EQ(end.err, "");
    return end.out.substr(0, end.out.find("\r\n"));
  };
  const auto good = request(host,
                            "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
                            "Accept: application/openmetrics-text; version=1.0.0\r\n\r\n");
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_NE(good.out.find("\r\nContent-Type: application/openmetrics-text;"), std::string::npos);
  const auto body = good.out.substr(good.out.find("\r\n\r\n") + 4);
  EXPECT_NE(good.out.find("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"),
            std::string::npos);
  EXPECT_TRUE(has_line(body, "handover_up 1"));
  EXPECT_EQ(status_of("GET /secrets HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(status_of("DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
            "HTTP/1.1 405 Method Not Allowed");
  EXPECT_EQ(status_of("hello"), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_of("GET /metrics HTTP/1.1\r\nHost: a\r\n" + std::string(20'000, 'x')),
            "HTTP/1.1 400 Bad Request");
}

TEST(MetricsOfTheDaemon, TellTheRestIfTheGatesStateIsBroken) {
  Host host;
  host.boot();
  const auto end =
      run_ctl(host, {"metrics", "--fleet-state", host.directory().write("fleet.json", "{")});
  EXPECT_EQ(end.code, 1);
  EXPECT_NE(end.err.find("fleet.json is no JSON object."), std::string::npos) << end.err;
  EXPECT_TRUE(has_line(end.out, "handover_up 1"));
}

}  // namespace
}  // namespace handover::test

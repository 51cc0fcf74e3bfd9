// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "ctl/metric_table.h"
#include "ctl/metrics.h"
#include "ctl/statistics.h"

namespace handover::ctl {
namespace {

using nlohmann::json;

std::set<std::string> samples_of(const MetricsInput& input) {
  std::istringstream text(exposition_of(metrics_of(input), Exposition::text));
  std::set<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    if (line.front() == '#') continue;
    EXPECT_TRUE(lines.insert(line).second) << "twice: " << line;
  }
  return lines;
}

void expect_all(const std::set<std::string>& samples, std::initializer_list<const char*> wanted) {
  for (const auto* line : wanted) EXPECT_EQ(samples.count(line), 1U) << "there is no " << line;
}

bool any_begins(const std::set<std::string>& samples, const std::string& beginning) {
  const auto found = samples.lower_bound(beginning);
  return found != samples.end() && found->compare(0, beginning.size(), beginning) == 0;
}

MetricsInput running() {
  MetricsInput input;
  input.status =
      Status{"0.1.0", "prepared", "luo", "/", {"luo", "tracker"}, 4, false, true, 1, 2, 3};
  input.release = "7.3.4";
  return input;
}

json record(std::uint64_t id, const char* outcome, std::uint64_t blackout_usec) {
  return {
      {"id", id},
      {"outcome", outcome},
      {"mode", "immediate"},
      {"from_release", "7.2"},
      {"to_release", "7.3"},
      {"finished_at", "2026-05-01T10:00:00Z"},
      {"losses", json::array()},
      {"blackout_usec", blackout_usec},
      {"phases", {{{"name", "kexec"}, {"usec", 500'000U}, {"in_blackout", true}}}},
      {"timeline",
       {{"clients",
         {{"vm-1", {{"blackout_usec", blackout_usec}}}, {"db", {{"blackout_usec", 20'000U}}}}}}}};
}

TEST(Metrics, SayThatNobodyAnswers) {
  MetricsInput input;
  input.release = "7.3.4";
  EXPECT_EQ(samples_of(input),
            (std::set<std::string>{"handover_up 0", "handover_kernel_info{release=\"7.3.4\"} 1"}));
}

TEST(Metrics, TellTheStateAndWhatIsHeld) {
  auto input = running();
  input.clients = {{"vm-1", "", "", "frozen", 0, {}, true},
                   {"db", "", "", "frozen", 0, {}, true},
                   {"new", "", "", "waiting", 0, {}, true}};
  input.sessions = {{"a", "", "vm-1", "luo", 0, false, 3, 4096},
                    {"b", "", "vm-1", "luo", 0, false, 1, 1},
                    {"c", "", "db", "luo+tracker", 0, true, 2, 7}};
  input.job = JobStatus{"update", "freeze", "", 45};
  const auto samples = samples_of(input);
  expect_all(
      samples,
      {"handover_up 1", "handover_generation 4",
       R"(handover_daemon_info{version="0.1.0",backend="luo",emulated="false",)"
       R"(module_abi="1",module_format="2"} 1)",
       "handover_state{state=\"prepared\"} 1", "handover_state{state=\"normal\"} 0",
       "handover_backend_available{backend=\"tracker\"} 1",
       "handover_backend_available{backend=\"emulated\"} 0", "handover_module_loaded 1",
       "handover_module_damaged_sessions 3", "handover_clients{phase=\"frozen\"} 2",
       "handover_clients{phase=\"idle\"} 0", "handover_clients{phase=\"waiting\"} 1",
       "handover_sessions{direction=\"incoming\"} 1", "handover_sessions{direction=\"outgoing\"} 2",
       "handover_preserved_descriptors{backend=\"luo\"} 4",
       "handover_preserved_bytes{backend=\"luo\"} 4097",
       "handover_preserved_bytes{backend=\"luo+tracker\"} 7",
       "handover_job_progress_ratio{type=\"update\",phase=\"freeze\"} 0.45"});
  EXPECT_FALSE(any_begins(samples, "handover_last_update"));
  EXPECT_FALSE(any_begins(samples, "handover_preflight")) << "nobody has asked";
  EXPECT_FALSE(any_begins(samples, "handover_fleet"));
}

TEST(Metrics, TellOfEachUpdateOnRecord) {
  auto input = running();
  auto rehearsal = record(12, "rehearsed", 30'000);
  rehearsal["rehearsal"] = {{"at_most_usec", 500'000}};
  auto lossy = record(11, "done-with-losses", 1'500'000);
  lossy["losses"] = {"one", "two"};
  lossy["left_out"] = {{{"client", "cache"}}};
  lossy["health"] = "failed";
  auto vetoed = record(10, "failed", 0);
  vetoed.erase("blackout_usec");
  vetoed["error"] = "org.handover1.Error.Vetoed";
  vetoed["client"] = "db";
  input.history = {rehearsal, lossy, vetoed, record(9, "done", 700'000)};
  const auto samples = samples_of(input);
  expect_all(
      samples,
      {R"(handover_updates{mode="immediate",outcome="done"} 1)",
       R"(handover_updates{mode="immediate",outcome="rehearsed"} 1)",
       R"(handover_failed_updates{error="Vetoed"} 1)", "handover_losses 2",
       R"(handover_blackout_seconds_bucket{kind="update",le="0.5"} 0)",
       R"(handover_blackout_seconds_bucket{kind="update",le="1.0"} 1)",
       R"(handover_blackout_seconds_count{kind="update"} 2)",
       R"(handover_blackout_seconds_sum{kind="rehearsal"} 0.03)",
       R"(handover_standstill_seconds_count{kind="update"} 4)",
       R"(handover_last_update_info{id="11",mode="immediate",outcome="done-with-losses",error="",)"
       R"(client="",from="7.2",to="7.3"} 1)",
       "handover_last_update_finished_timestamp_seconds 1777629600",
       "handover_last_update_success 1", "handover_last_update_blackout_seconds 1.5",
       R"(handover_last_update_standstill_seconds{client="db"} 0.02)",
       R"(handover_last_update_phase_seconds{phase="kexec",in_blackout="true"} 0.5)",
       "handover_last_update_losses 2", "handover_last_update_left_out_clients 1",
       R"(handover_last_update_health{health="failed"} 1)",
       R"(handover_last_update_health{health="passed"} 0)"});
}

TEST(Metrics, NameTheCulpritOfTheNewestUpdate) {
  auto input = running();
  auto vetoed = record(10, "failed", 0);
  vetoed["error"] = "org.handover1.Error.Vetoed";
  vetoed["client"] = "db";
  input.history = {vetoed};
  expect_all(
      samples_of(input),
      {R"(handover_last_update_info{id="10",mode="immediate",outcome="failed",)"
       R"(error="Vetoed",client="db",from="7.2",to="7.3"} 1)",
       "handover_last_update_success 0", R"(handover_blackout_seconds_count{kind="update"} 0)"});
}

/// Records are read as they are: what an older or newer daemon wrote is no reason to tell nothing.
TEST(Metrics, BearRecordsOfOtherVersions) {
  auto input = running();
  input.history = {json::object(),
                   {{"outcome", 7}, {"phases", "none"}, {"timeline", {{"clients", {1, 2}}}}},
                   {{"outcome", "done"}, {"blackout_usec", -5}, {"finished_at", "yesterday"}}};
  EXPECT_EQ(samples_of(input).count("handover_up 1"), 1U);
}

TEST(Metrics, TellWhatPreflightFound) {
  auto input = running();
  input.asked_preflight = true;
  EXPECT_EQ(samples_of(input).count("handover_preflight_up 0"), 1U);
  input.findings = {{{"kernel-bad", "error", "", ""},
                     {"hook-warns", "warning", "", ""},
                     {"hook-warns", "warning", "", ""}}};
  input.kernels = {{{"", "7.3", "bad", "", "", false}, {"", "7.2", "good", "", "", true}}};
  expect_all(samples_of(input),
             {"handover_preflight_up 1", R"(handover_preflight_findings{severity="error"} 1)",
              R"(handover_preflight_findings{severity="fact"} 0)",
              R"(handover_preflight_finding{id="hook-warns",severity="warning"} 2)",
              R"(handover_kernels{state="bad"} 1)", R"(handover_kernels{state="untried"} 0)"});
}

TEST(Metrics, TellOfTheGate) {
  auto input = running();
  input.gate = {
      {"phase", "kept"},
      {"window", {{"open", false}, {"opens", "2026-05-01T10:00:00Z"}, {"closes", nullptr}}},
      {"lock",
       {{"kind", "etcd"},
        {"group", "vm-hosts"},
        {"held", true},
        {"since", "2026-05-01T10:00:01Z"},
        {"server", {{"answers", false}, {"failure", "refused"}}}}}};
  expect_all(
      samples_of(input),
      {R"(handover_fleet_phase{phase="kept"} 1)", "handover_fleet_window_open 0",
       "handover_fleet_window_opens_timestamp_seconds 1777629600",
       R"(handover_fleet_lock_held{kind="etcd",group="vm-hosts"} 1)",
       R"(handover_fleet_lock_since_timestamp_seconds{kind="etcd",group="vm-hosts"} 1777629601)",
       R"(handover_fleet_lock_server_up{kind="etcd",group="vm-hosts"} 0)",
       "handover_fleet_health_failed 1"});
  input.status.reset();
  EXPECT_EQ(samples_of(input).count("handover_fleet_window_open 0"), 1U)
      << "without handoverd, too";
  input.gate = {{"window", {{"open", nullptr}}}, {"lock", {{"held", "yes"}, {"server", 7}}}};
  EXPECT_FALSE(any_begins(samples_of(input), "handover_fleet"));
}

TEST(Metrics, CountWhatTheDaemonCounts) {
  auto input = running();
  input.statistics = {{"client-calls", std::uint64_t{12}},
                      {"manifest-write-usec", std::uint64_t{1'500'000}},
                      {"manifest-longest-write-usec", std::uint64_t{250'000}},
                      {"charged-bytes", std::uint64_t{4096}},
                      {"of-a-later-version", std::uint64_t{1}},
                      {"losses", std::string("none")}};
  const auto samples = samples_of(input);
  expect_all(samples, {"handover_daemon_client_calls_total 12",
                       "handover_daemon_manifest_write_seconds_total 1.5",
                       "handover_daemon_manifest_longest_write_seconds 0.25",
                       "handover_daemon_charged_bytes 4096"});
  EXPECT_FALSE(any_begins(samples, "handover_daemon_of_a"));
  EXPECT_FALSE(any_begins(samples, "handover_daemon_losses"));
}

/// Prometheus' rules: https://prometheus.io/docs/practices/naming/
TEST(Metrics, HaveNamesByTheRules) {
  std::set<std::string> names;
  for (const auto& family : all_families()) {
    EXPECT_TRUE(std::regex_match(family.name, std::regex("handover_[a-z][a-z0-9_]*[a-z0-9]")))
        << family.name;
    EXPECT_FALSE(std::regex_search(
        family.name, std::regex("_(total|info|sum|count|bucket|usec|msec|ms|s|kb|mib)(_|$)")))
        << family.name;
    EXPECT_TRUE(names.insert(sample_name(family.name, family.type)).second) << family.name;
    ASSERT_FALSE(family.help.empty()) << family.name;
    EXPECT_EQ(family.help.back(), '.') << family.name;
  }
}

/// docs/metrics.md has a row for each, in this order.
TEST(Metrics, AreDocumented) {
  std::ifstream file(HANDOVER_SOURCE_DIR "/docs/metrics.md");
  std::vector<std::string> documented;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("| `handover_", 0) == 0) documented.push_back(line);
  }
  const auto type = [](MetricType of) {
    return of == MetricType::counter     ? "counter"
           : of == MetricType::histogram ? "histogram"
           : of == MetricType::info      ? "info"
                                         : "gauge";
  };
  std::vector<std::string> wanted;
  const auto families = all_families();
  for (std::size_t i = 0; i < families.size(); ++i) {
    std::string labels(i < metric_table.size() ? metric_table[i].labels : "");
    std::string shown;
    std::istringstream words(labels);
    for (std::string word; std::getline(words, word, ',');) {
      shown += (shown.empty() ? "" : ", ") + word;
    }
    wanted.push_back("| `" + sample_name(families[i].name, families[i].type) + "` | " +
                     type(families[i].type) + " | " + shown + " | " + families[i].help + " |");
  }
  EXPECT_EQ(documented, wanted);
}

}  // namespace
}  // namespace handover::ctl

// SPDX-License-Identifier: LGPL-2.1-or-later
#include "metrics.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <string_view>

#include "history.h"
#include "metric_table.h"
#include "statistics.h"
#include "words.h"

namespace handover::ctl {
namespace {

using nlohmann::json;

constexpr double usec_in_second = 1e6;

// docs/dbus.md has these words. What a later daemon says besides is a sample, too.
constexpr std::array severities = {"error", "warning", "fact"};
constexpr std::array kernel_states = {"good", "bad", "untried"};
constexpr std::array healths = {"running", "passed", "failed"};

/// Counts by a word: those that are known are there with 0.
template <typename Known>
std::map<std::string, double> counts_of(const Known& known) {
  std::map<std::string, double> counts;
  for (const auto* word : known) counts[word] = 0;
  return counts;
}

const json& member_of(const json& object, const char* key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

/// Seconds since 1970 of RFC 3339 in UTC, as records have it.
std::optional<double> instant(const std::string& text) {
  std::tm parts = {};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!rest) return std::nullopt;
  return static_cast<double>(timegm(&parts));
}

std::optional<double> seconds(const json& object, const char* key) {
  const json& value = member_of(object, key);
  if (!value.is_number_unsigned()) return std::nullopt;
  return static_cast<double>(value.get<std::uint64_t>()) / usec_in_second;
}

std::size_t length(const json& object, const char* key) {
  const json& value = member_of(object, key);
  return value.is_array() ? value.size() : 0;
}

/// "org.handover1.Error.Vetoed" → "Vetoed".
std::string error_word(const json& entry) {
  const auto name = json_text(entry, "error");
  const auto dot = name.rfind('.');
  if (name.empty()) return "unknown";
  return dot == std::string::npos ? name : name.substr(dot + 1);
}

bool is_rehearsal(const json& entry) { return member_of(entry, "rehearsal").is_object(); }

bool went_well(const json& entry) {
  const auto outcome = json_text(entry, "outcome");
  return outcome == "done" || outcome == "done-with-losses";
}

const char* flag(bool value) { return value ? "true" : "false"; }

class Collector {
 public:
  explicit Collector(const MetricsInput& input) : input_(input), families_(all_families()) {}
  std::vector<Family> collect();

 private:
  void add(Metric metric, Labels labels, double value) {
    family(metric).samples.push_back({std::move(labels), value});
  }
  void add(Metric metric, double value) { add(metric, {}, value); }
  /// Nothing if it is not known.
  void add_flag(Metric metric, Labels labels, const json& value) {
    if (value.is_boolean()) add(metric, std::move(labels), value.get<bool>() ? 1 : 0);
  }
  /// One sample for each word of `counts`.
  void add_counts(Metric metric, const char* label, const std::map<std::string, double>& counts) {
    for (const auto& [word, count] : counts) add(metric, {{label, word}}, count);
  }
  Family& family(Metric metric) { return families_[static_cast<std::size_t>(metric)]; }

  void daemon(const Status& status);
  void holdings();
  void history();
  void last_update(const json& entry);
  void preflight();
  void gate();
  void statistics();

  const MetricsInput& input_;
  std::vector<Family> families_;
};

void Collector::daemon(const Status& status) {
  add(Metric::daemon,
      {{"version", status.version},
       {"backend", status.backend},
       {"emulated", flag(status.emulated)},
       {"module_abi", std::to_string(status.module_abi)},
       {"module_format", std::to_string(status.module_format)}},
      1);
  auto state = counts_of(state_words);
  state[status.state] = 1;
  add_counts(Metric::state, "state", state);
  add(Metric::generation, static_cast<double>(status.generation));
  auto available = counts_of(std::array{"luo", "tracker", "emulated"});
  for (const auto& backend : status.backends) available[backend] = 1;
  add_counts(Metric::backend_available, "backend", available);
  add(Metric::module_loaded, status.module ? 1 : 0);
  if (status.module) {
    add(Metric::module_damaged_sessions, static_cast<double>(status.module_lost));
  }
  if (input_.job) {
    constexpr double whole = 100;
    add(Metric::job_progress, {{"type", input_.job->type}, {"phase", input_.job->phase}},
        static_cast<double>(input_.job->progress) / whole);
  }
}

void Collector::holdings() {
  auto by_phase = counts_of(phase_words);
  for (const auto& client : input_.clients) ++by_phase[client.phase];
  add_counts(Metric::clients, "phase", by_phase);

  auto by_direction = counts_of(std::array{"incoming", "outgoing"});
  std::map<std::string, double> descriptors;
  std::map<std::string, double> bytes;
  for (const auto& session : input_.sessions) {
    ++by_direction[session.incoming ? "incoming" : "outgoing"];
    descriptors[session.backend] += session.descriptors;
    bytes[session.backend] += static_cast<double>(session.bytes);
  }
  add_counts(Metric::sessions, "direction", by_direction);
  add_counts(Metric::preserved_descriptors, "backend", descriptors);
  add_counts(Metric::preserved_bytes, "backend", bytes);
}

void Collector::history() {
  std::map<std::pair<std::string, std::string>, double> ends;
  std::map<std::string, double> errors;
  double losses = 0;
  // Of updates and of rehearsals: histograms without observations are there, too.
  std::array<Observations, 2> blackouts = {
      {{{{"kind", "update"}}, {}}, {{{"kind", "rehearsal"}}, {}}}};
  auto standstills = blackouts;
  for (const auto& entry : input_.history) {
    ++ends[{json_text(entry, "mode"), json_text(entry, "outcome")}];
    losses += static_cast<double>(length(entry, "losses"));
    const bool rehearsed = json_text(entry, "outcome") == "rehearsed";
    if (!went_well(entry) && !rehearsed) {
      ++errors[error_word(entry)];
      continue;
    }
    const std::size_t kind = is_rehearsal(entry) ? 1 : 0;
    if (const auto time = seconds(entry, "blackout_usec")) blackouts[kind].values.push_back(*time);
    const json& clients = member_of(member_of(entry, "timeline"), "clients");
    if (!clients.is_object()) continue;
    for (const auto& times : clients) {
      if (const auto time = seconds(times, "blackout_usec")) {
        standstills[kind].values.push_back(*time);
      }
    }
  }
  for (const auto& [end, count] : ends) {
    add(Metric::updates, {{"mode", end.first}, {"outcome", end.second}}, count);
  }
  add_counts(Metric::failed_updates, "error", errors);
  add(Metric::losses, losses);
  family(Metric::blackout).observations.assign(blackouts.begin(), blackouts.end());
  family(Metric::standstill).observations.assign(standstills.begin(), standstills.end());

  const auto newest = std::find_if(input_.history.begin(), input_.history.end(),
                                   [](const json& entry) { return !is_rehearsal(entry); });
  if (newest != input_.history.end()) last_update(*newest);
}

void Collector::last_update(const json& entry) {
  const bool well = went_well(entry);
  add(Metric::last_update,
      {{"id", std::to_string(json_number(entry, "id"))},
       {"mode", json_text(entry, "mode")},
       {"outcome", json_text(entry, "outcome")},
       {"error", well ? "" : error_word(entry)},
       {"client", json_text(entry, "client")},
       {"from", json_text(entry, "from_release")},
       {"to", json_text(entry, "to_release")}},
      1);
  if (const auto when = instant(json_text(entry, "finished_at"))) {
    add(Metric::last_update_finished, *when);
  }
  add(Metric::last_update_success, well ? 1 : 0);
  if (const auto time = seconds(entry, "blackout_usec")) add(Metric::last_update_blackout, *time);
  const json& clients = member_of(member_of(entry, "timeline"), "clients");
  if (clients.is_object()) {
    for (const auto& [name, times] : clients.items()) {
      if (const auto time = seconds(times, "blackout_usec")) {
        add(Metric::last_update_standstill, {{"client", name}}, *time);
      }
    }
  }
  const json& parts = member_of(entry, "phases");
  for (const auto& phase : parts.is_array() ? parts : json::array()) {
    const json& inside = member_of(phase, "in_blackout");
    if (const auto time = seconds(phase, "usec")) {
      add(Metric::last_update_phase,
          {{"phase", json_text(phase, "name")},
           {"in_blackout", flag(inside.is_boolean() && inside.get<bool>())}},
          *time);
    }
  }
  add(Metric::last_update_losses, static_cast<double>(length(entry, "losses")));
  add(Metric::last_update_left_out, static_cast<double>(length(entry, "left_out")));
  if (const auto health = json_text(entry, "health"); !health.empty()) {
    auto said = counts_of(healths);
    said[health] = 1;
    add_counts(Metric::last_update_health, "health", said);
  }
}

void Collector::preflight() {
  if (!input_.asked_preflight) return;
  add(Metric::preflight_up, input_.findings ? 1 : 0);
  if (input_.findings) {
    auto by_severity = counts_of(severities);
    std::map<std::pair<std::string, std::string>, double> by_id;
    for (const auto& finding : *input_.findings) {
      ++by_severity[finding.severity];
      ++by_id[{finding.id, finding.severity}];
    }
    add_counts(Metric::preflight_findings, "severity", by_severity);
    for (const auto& [key, count] : by_id) {
      add(Metric::preflight_finding, {{"id", key.first}, {"severity", key.second}}, count);
    }
  }
  if (!input_.kernels) return;
  auto by_state = counts_of(kernel_states);
  for (const auto& kernel : *input_.kernels) ++by_state[kernel.state];
  add_counts(Metric::kernels, "state", by_state);
}

/// Members that are not there, or of another type, have no samples.
void Collector::gate() {
  if (const auto phase = json_text(input_.gate, "phase"); !phase.empty()) {
    add(Metric::fleet_phase, {{"phase", phase}}, 1);
    add(Metric::fleet_health_failed, phase == "kept" ? 1 : 0);
  }
  const json& window = member_of(input_.gate, "window");
  add_flag(Metric::fleet_window_open, {}, member_of(window, "open"));
  if (const auto opens = instant(json_text(window, "opens"))) {
    add(Metric::fleet_window_opens, *opens);
  }
  const json& lock = member_of(input_.gate, "lock");
  const Labels labels = {{"kind", json_text(lock, "kind")}, {"group", json_text(lock, "group")}};
  add_flag(Metric::fleet_lock_held, labels, member_of(lock, "held"));
  if (const auto since = instant(json_text(lock, "since"))) {
    add(Metric::fleet_lock_since, labels, *since);
  }
  add_flag(Metric::fleet_lock_server_up, labels, member_of(member_of(lock, "server"), "answers"));
}

/// Behind the table's, in the order of known_statistics.
void Collector::statistics() {
  for (std::size_t i = 0; i < known_statistics.size(); ++i) {
    const auto found = input_.statistics.find(std::string(known_statistics[i].name));
    if (found == input_.statistics.end()) continue;
    const auto* value = std::get_if<std::uint64_t>(&found->second);
    if (!value) continue;
    auto& family = families_[metric_table.size() + i];
    const bool is_time = known_statistics[i].name.find("-usec") != std::string_view::npos;
    family.samples.push_back({{}, static_cast<double>(*value) / (is_time ? usec_in_second : 1)});
  }
}

std::vector<Family> Collector::collect() {
  add(Metric::up, input_.status ? 1 : 0);
  if (input_.release) add(Metric::kernel, {{"release", *input_.release}}, 1);
  gate();
  if (input_.status) {
    daemon(*input_.status);
    holdings();
    history();
    preflight();
    statistics();
  }
  return std::move(families_);
}

/// "manifest-write-usec" → handover_daemon_manifest_write_seconds.
Family family_of(const Statistic& statistic) {
  std::string name(statistic.name);
  if (const auto unit = name.rfind("-usec"); unit != std::string::npos) {
    name.replace(unit, std::string::npos, "-seconds");
  }
  std::replace(name.begin(), name.end(), '-', '_');
  return {"handover_daemon_" + name,
          statistic.counts ? MetricType::counter : MetricType::gauge,
          "handoverd counts: " + std::string(statistic.meaning) + ".",
          {},
          {}};
}

constexpr bool in_order() {
  for (std::size_t i = 0; i < metric_table.size(); ++i) {
    if (metric_table[i].metric != static_cast<Metric>(i)) return false;
  }
  return true;
}
static_assert(in_order(), "metric_table has the order of Metric");

}  // namespace

std::vector<Family> all_families() {
  std::vector<Family> families;
  families.reserve(metric_table.size() + known_statistics.size());
  for (const auto& row : metric_table) {
    families.push_back({std::string(row.name), row.type, std::string(row.help), {}, {}});
  }
  for (const auto& statistic : known_statistics) families.push_back(family_of(statistic));
  return families;
}

std::vector<Family> metrics_of(const MetricsInput& input) { return Collector(input).collect(); }

}  // namespace handover::ctl

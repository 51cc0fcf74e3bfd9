// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/timeline.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "core/json_fields.h"

namespace handover {

namespace {

constexpr std::array all_marks = {
    Mark::requested,      Mark::preflight_done, Mark::target_loaded,   Mark::clients_prepared,
    Mark::sessions_ready, Mark::freeze_begin,   Mark::clients_frozen,  Mark::sealed,
    Mark::kexec_called,   Mark::kernel_started, Mark::init_started,    Mark::daemon_started,
    Mark::sessions_found, Mark::first_restored, Mark::clients_restored};

/// What happens between the mark before and this one.
std::string_view phase_before(Mark mark) {
  switch (mark) {
    case Mark::requested:
      return "";
    case Mark::preflight_done:
      return "preflight";
    case Mark::target_loaded:
      return "load";
    case Mark::clients_prepared:
      return "prepare";
    case Mark::sessions_ready:
      return "collapse";
    case Mark::freeze_begin:
      return "wait";
    case Mark::clients_frozen:
      return "freeze";
    case Mark::sealed:
      return "seal";
    case Mark::kexec_called:
      return "stop";
    case Mark::kernel_started:
      return "kexec";
    case Mark::init_started:
      return "kernel";
    case Mark::daemon_started:
      return "init";
    case Mark::sessions_found:
      return "daemon";
    case Mark::first_restored:
      return "restore";
    case Mark::clients_restored:
      return "rest";
  }
  return "";
}

std::optional<Ticks> tick_of(const Timeline& timeline, Mark mark) {
  const auto found = timeline.marks.find(mark);
  if (found == timeline.marks.end()) return std::nullopt;
  return found->second;
}

std::optional<Ticks> last_frozen(const Timeline& timeline) {
  if (const auto mark = tick_of(timeline, Mark::clients_frozen)) return mark;
  std::optional<Ticks> last;
  for (const auto& entry : timeline.clients) {
    const auto& at = entry.second.frozen_at;
    if (at && (!last || *at > *last)) last = at;
  }
  return last;
}

std::optional<Ticks> first_running(const Timeline& timeline) {
  if (const auto mark = tick_of(timeline, Mark::first_restored)) return mark;
  std::optional<Ticks> first;
  for (const auto& entry : timeline.clients) {
    const auto& at = entry.second.running_at;
    if (at && (!first || *at < *first)) first = at;
  }
  return first;
}

std::optional<std::uint64_t> usec_between(std::optional<Ticks> from, std::optional<Ticks> to,
                                          std::uint64_t ticks_per_second) {
  if (!from || !to || ticks_per_second == 0) return std::nullopt;
  return ticks_to_usec(*to > *from ? *to - *from : 0, ticks_per_second);
}

void put(nlohmann::json& object, const char* name, const std::optional<std::uint64_t>& value) {
  if (value) object[name] = *value;
}

nlohmann::json to_json(const ClientTimes& times) {
  nlohmann::json json = times.extra;
  put(json, "prepare_usec", times.prepare_usec);
  put(json, "freeze_usec", times.freeze_usec);
  put(json, "restore_usec", times.restore_usec);
  put(json, "frozen_at", times.frozen_at);
  put(json, "running_at", times.running_at);
  return json;
}

ClientTimes client_times_from(FieldReader& reader) {
  ClientTimes times;
  reader.optional("prepare_usec", times.prepare_usec);
  reader.optional("freeze_usec", times.freeze_usec);
  reader.optional("restore_usec", times.restore_usec);
  reader.optional("frozen_at", times.frozen_at);
  reader.optional("running_at", times.running_at);
  times.extra = reader.rest();
  return times;
}

tl::unexpected<Error> fail_field(const FieldError& error) {
  return fail(ErrorCode::invalid_argument,
              "field " + (error.pointer.empty() ? "/" : error.pointer) + " " + error.message);
}

}  // namespace

std::vector<Phase> phases(const Timeline& timeline) {
  std::vector<Phase> result;
  std::optional<Ticks> since;
  std::string name;
  bool in_blackout = false;
  for (const Mark mark : all_marks) {
    if (since) {
      if (!name.empty()) name += "+";
      name += phase_before(mark);
    }
    const std::optional<Ticks> at = tick_of(timeline, mark);
    if (at) {
      if (since) {
        const Ticks length = *at > *since ? *at - *since : 0;
        result.push_back({name, ticks_to_usec(length, timeline.ticks_per_second),
                          in_blackout && mark <= Mark::first_restored});
      }
      since = since ? std::max(*since, *at) : *at;
      name.clear();
      in_blackout = mark >= Mark::clients_frozen && mark < Mark::first_restored;
    }
  }
  return result;
}

std::optional<std::uint64_t> blackout_usec(const Timeline& timeline) {
  return usec_between(last_frozen(timeline), first_running(timeline), timeline.ticks_per_second);
}

std::optional<std::uint64_t> blackout_usec(const ClientTimes& times,
                                           std::uint64_t ticks_per_second) {
  return usec_between(times.frozen_at, times.running_at, ticks_per_second);
}

std::uint64_t ticks_to_usec(Ticks ticks, std::uint64_t ticks_per_second) {
  constexpr std::uint64_t usec_per_second = 1'000'000;
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  if (ticks_per_second == 0) return 0;
  // Whole seconds apart from the rest: the product of both in one would overflow after an hour.
  const std::uint64_t seconds = ticks / ticks_per_second;
  const std::uint64_t rest = ticks % ticks_per_second;
  if (seconds > most / usec_per_second - 1) return most;
  const std::uint64_t rest_usec = rest <= most / usec_per_second
                                      ? rest * usec_per_second / ticks_per_second
                                      : rest / (ticks_per_second / usec_per_second);
  return seconds * usec_per_second + rest_usec;
}

std::string_view to_string(Mark mark) {
  switch (mark) {
    case Mark::requested:
      return "requested";
    case Mark::preflight_done:
      return "preflight_done";
    case Mark::target_loaded:
      return "target_loaded";
    case Mark::clients_prepared:
      return "clients_prepared";
    case Mark::sessions_ready:
      return "sessions_ready";
    case Mark::freeze_begin:
      return "freeze_begin";
    case Mark::clients_frozen:
      return "clients_frozen";
    case Mark::sealed:
      return "sealed";
    case Mark::kexec_called:
      return "kexec_called";
    case Mark::kernel_started:
      return "kernel_started";
    case Mark::init_started:
      return "init_started";
    case Mark::daemon_started:
      return "daemon_started";
    case Mark::sessions_found:
      return "sessions_found";
    case Mark::first_restored:
      return "first_restored";
    case Mark::clients_restored:
      return "clients_restored";
  }
  return "unknown";
}

nlohmann::json to_json(const Timeline& timeline) {
  nlohmann::json json = timeline.extra;
  json["ticks_per_second"] = timeline.ticks_per_second;
  nlohmann::json& marks = json["marks"];
  if (!marks.is_object()) marks = nlohmann::json::object();
  for (const auto& [mark, at] : timeline.marks) marks[std::string(to_string(mark))] = at;
  nlohmann::json& clients = json["clients"] = nlohmann::json::object();
  for (const auto& [name, times] : timeline.clients) clients[name] = to_json(times);
  return json;
}

Result<Timeline> timeline_from_json(const nlohmann::json& json) {
  Timeline timeline;
  FieldReader reader(json, "");
  reader.required("ticks_per_second", timeline.ticks_per_second);
  auto marks = reader.take("marks");
  auto clients = reader.take("clients");
  if (reader.error()) return fail_field(*reader.error());
  timeline.extra = reader.rest();

  if (marks) {
    FieldReader mark_reader(std::move(*marks), "/marks");
    for (const Mark mark : all_marks) {
      std::optional<Ticks> at;
      mark_reader.optional(to_string(mark), at);
      if (at) timeline.marks[mark] = *at;
    }
    if (mark_reader.error()) return fail_field(*mark_reader.error());
    if (nlohmann::json unknown = mark_reader.rest(); !unknown.empty()) {
      timeline.extra["marks"] = std::move(unknown);
    }
  }
  if (clients) {
    if (!clients->is_object()) return fail_field({"/clients", "must be an object"});
    for (auto& [name, value] : clients->items()) {
      FieldReader client_reader(std::move(value), child_pointer("/clients", name));
      timeline.clients[name] = client_times_from(client_reader);
      if (client_reader.error()) return fail_field(*client_reader.error());
    }
  }
  return timeline;
}

nlohmann::json to_json(const HistoryEntry& entry) {
  nlohmann::json json = entry.extra;
  json["id"] = entry.id;
  json["generation"] = entry.generation;
  json["outcome"] = entry.outcome;
  json["reason"] = entry.reason;
  json["mode"] = entry.mode;
  json["from_release"] = entry.from_release;
  json["to_release"] = entry.to_release;
  json["finished_at"] = entry.finished_at;
  json["losses"] = entry.losses;
  json["timeline"] = to_json(entry.timeline);
  nlohmann::json& worked_out = json["phases"] = nlohmann::json::array();
  for (const Phase& phase : phases(entry.timeline)) {
    worked_out.push_back(
        {{"name", phase.name}, {"usec", phase.usec}, {"in_blackout", phase.in_blackout}});
  }
  put(json, "blackout_usec", blackout_usec(entry.timeline));
  return json;
}

Result<HistoryEntry> history_from_json(const nlohmann::json& json) {
  HistoryEntry entry;
  FieldReader reader(json, "");
  reader.required("id", entry.id);
  reader.required("generation", entry.generation);
  reader.required("outcome", entry.outcome);
  reader.required("reason", entry.reason);
  reader.required("mode", entry.mode);
  reader.required("from_release", entry.from_release);
  reader.required("to_release", entry.to_release);
  reader.required("finished_at", entry.finished_at);
  reader.required("losses", entry.losses);
  const auto timeline_json = reader.take("timeline");
  reader.take("phases");
  reader.take("blackout_usec");
  if (!timeline_json) reader.refuse("timeline", "is missing");
  if (reader.error()) return fail_field(*reader.error());
  auto timeline = timeline_from_json(*timeline_json);
  if (!timeline) {
    return fail(timeline.error().code, "field /timeline: " + timeline.error().message);
  }
  entry.timeline = std::move(*timeline);
  entry.extra = reader.rest();
  return entry;
}

}  // namespace handover

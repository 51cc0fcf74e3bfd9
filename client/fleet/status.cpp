// SPDX-License-Identifier: LGPL-2.1-or-later
#include "status.h"

#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>

#include "common/file.h"

namespace handover::fleet {
namespace {

using nlohmann::json;

/// null for what is not known.
json text_or_null(const std::string& text) { return text.empty() ? json() : json(text); }
json time_or_null(const std::optional<std::uint64_t>& usec) {
  return usec ? json(utc(*usec)) : json();
}

json lock_of(const Status& status, const Lock& lock) {
  const auto phase = status.turn.phase;
  // What is not certain counts as held.
  const bool holds = lock.kind != LockKind::none && phase != Phase::idle && phase != Phase::asking;
  json object = {{"kind", to_string(lock.kind)},
                 {"group", lock.kind == LockKind::none ? json() : json(lock.group)},
                 {"slots", lock.kind == LockKind::etcd ? json(lock.slots) : json()},
                 {"id", status.id},
                 {"held", holds},
                 {"slot", holds && status.turn.slot >= 0 ? json(status.turn.slot) : json()},
                 {"since", holds ? text_or_null(status.turn.claim.since) : json()}};
  object["server"] = {{"answers", status.server_answers ? json(*status.server_answers) : json()},
                      {"failure", text_or_null(status.server_failure)},
                      {"at", text_or_null(status.server_at)}};
  return object;
}

json window_of(const Status& status) {
  const auto& window = status.window;
  return {{"limited", window ? json(window->limited) : json()},
          {"open", window ? json(window->open()) : json()},
          {"closes", window ? time_or_null(window->closes) : json()},
          {"opens", window ? time_or_null(window->opens) : json()},
          {"failure", text_or_null(status.window_failure)},
          {"at", text_or_null(status.window_at)}};
}

json health_of(const std::optional<HealthNote>& note) {
  if (!note) return {{"result", nullptr}, {"failure", nullptr}, {"at", nullptr}};
  return {{"result", note->failure.empty() ? "passed" : "failed"},
          {"failure", text_or_null(note->failure)},
          {"at", note->at}};
}

std::string text_at(const json& document, const char* pointer) {
  const json::json_pointer where(pointer);
  if (!document.contains(where)) return "";
  const auto& value = document.at(where);
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
}

std::string with_reason(const std::string& reason) { return reason.empty() ? "" : ": " + reason; }

std::string lock_line(const json& status) {
  const auto kind = text_at(status, "/lock/kind");
  if (kind == "none") return "none";
  std::string line = kind + ", group " + text_at(status, "/lock/group");
  const auto slot = text_at(status, "/lock/slot");
  const auto since = text_at(status, "/lock/since");
  if (text_at(status, "/lock/held") == "true") {
    line += slot.empty() ? ", held" : ", slot " + slot + " held";
    if (!since.empty()) line += " since " + since;
  } else {
    line += ", not held";
  }
  const auto answers = text_at(status, "/lock/server/answers");
  if (answers == "false") line += "\n        " + text_at(status, "/lock/server/failure");
  return line;
}

std::string window_line(const json& status) {
  const auto failure = text_at(status, "/window/failure");
  if (!failure.empty()) return "unknown: " + failure;
  const auto limited = text_at(status, "/window/limited");
  if (limited.empty()) return "not looked at yet";
  if (limited == "false") return "always open";
  const auto opens = text_at(status, "/window/opens");
  const auto next = opens.empty() ? std::string("none opens any more") : "the next opens " + opens;
  if (text_at(status, "/window/open") != "true") return "closed, " + next;
  return "open until " + text_at(status, "/window/closes") + ", " + next;
}

std::string health_line(const json& status) {
  std::string line;
  for (const char* stage : {"before", "after"}) {
    const auto base = std::string("/health/") + stage;
    const auto result = text_at(status, (base + "/result").c_str());
    if (result.empty()) continue;
    line += (line.empty() ? "" : "\n        ") + std::string(stage) + " the update: " + result +
            " at " + text_at(status, (base + "/at").c_str()) +
            with_reason(text_at(status, (base + "/failure").c_str()));
  }
  return line.empty() ? "not checked yet" : line;
}

}  // namespace

std::string to_json(const Status& status, const Lock& lock) {
  const json document = {
      {"version", 1},
      {"pid", status.pid},
      {"phase", to_string(status.turn.phase)},
      {"reason", text_or_null(status.turn.reason)},
      {"since", text_or_null(status.since)},
      {"lock", lock_of(status, lock)},
      {"window", window_of(status)},
      {"health", {{"before", health_of(status.before)}, {"after", health_of(status.after)}}},
      {"veto", {{"reason", text_or_null(status.veto)}, {"at", text_or_null(status.veto_at)}}}};
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string to_lines(const json& status) {
  std::string text =
      "phase   " + text_at(status, "/phase") + with_reason(text_at(status, "/reason")) + "\n";
  text += "lock    " + lock_line(status) + "\n";
  text += "window  " + window_line(status) + "\n";
  text += "health  " + health_line(status) + "\n";
  const auto veto = text_at(status, "/veto/reason");
  if (!veto.empty()) text += "veto    " + veto + " (" + text_at(status, "/veto/at") + ")\n";
  return text;
}

std::string status_path(const std::string& directory) { return directory + "/status.json"; }

client::Result<json> read_status(const std::string& directory) {
  const client::Error not_here = {
      "", "handover-fleet does not run here; start it with 'systemctl start handover-fleet'.",
      ENOENT};
  auto text = common::read_file(status_path(directory));
  if (!text && text.error().code == ENOENT) return not_here;
  if (!text) return text.error();
  auto document = json::parse(*text, nullptr, false);
  if (!document.is_object() || !document.contains("pid") || !document["pid"].is_number_integer()) {
    return client::Error{"", status_path(directory) + " is not one of handover-fleet's.", EBADMSG};
  }
  // One that was killed had no time to take its file away.
  if (kill(document["pid"].get<pid_t>(), 0) < 0 && errno == ESRCH) return not_here;
  return document;
}

}  // namespace handover::fleet

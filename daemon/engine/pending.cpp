// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/pending.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/json_fields.h"
#include "core/names.h"
#include "core/text.h"
#include "engine/history.h"

namespace handover::engine {

namespace {

tl::unexpected<Error> invalid_pending(const std::string& why) {
  return fail(ErrorCode::manifest_invalid, "the record of the pending update " + why);
}

tl::unexpected<Error> bad_field(const FieldError& error) {
  return invalid_pending(
      "has a bad field: " + (error.pointer.empty() ? std::string("/") : printable(error.pointer)) +
      " " + error.message);
}

PendingUpdate::Session pending_session_from(FieldReader& reader) {
  PendingUpdate::Session session;
  reader.required("name", session.name);
  reader.required("client", session.client);
  if (auto valid = check_name(session.name); !valid) {
    reader.refuse("name", "is no name: " + valid.error().message);
  }
  if (session.client.empty()) return session;
  if (auto valid = check_name(session.client); !valid) {
    reader.refuse("client", "is no name: " + valid.error().message);
  }
  return session;
}

}  // namespace

std::string serialize(const PendingUpdate& pending) {
  nlohmann::json json;
  json["version"] = PendingUpdate::version;
  json["id"] = pending.id;
  json["mode"] = pending.mode;
  json["from_release"] = pending.from_release;
  json["to_release"] = pending.to_release;
  json["boot_id"] = pending.boot_id;
  json["timeline"] = to_json(pending.timeline);
  auto& sessions = json["sessions"] = nlohmann::json::array();
  for (const auto& session : pending.sessions) {
    sessions.push_back({{"name", session.name}, {"client", session.client}});
  }
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<PendingUpdate> parse_pending(std::string_view text) {
  auto json = parse_json(text, ErrorCode::manifest_invalid);
  if (!json) return invalid_pending("is no JSON: " + json.error().message);
  FieldReader reader(std::move(*json), "");
  std::uint64_t version = 0;
  reader.required("version", version);
  if (reader.error()) return bad_field(*reader.error());
  if (version != PendingUpdate::version) {
    return invalid_pending("is of version " + std::to_string(version) +
                           "; this daemon reads version " + std::to_string(PendingUpdate::version));
  }
  PendingUpdate pending;
  reader.required("id", pending.id);
  reader.required("mode", pending.mode);
  reader.required("from_release", pending.from_release);
  reader.required("to_release", pending.to_release);
  reader.required("boot_id", pending.boot_id);
  std::vector<nlohmann::json> sessions;
  reader.required("sessions", sessions);
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    FieldReader session(std::move(sessions[i]), child_pointer(reader.pointer("sessions"), i));
    pending.sessions.push_back(pending_session_from(session));
    if (session.error()) reader.refuse(*session.error());
  }
  if (const auto timeline_json = reader.take("timeline"); !timeline_json) {
    reader.refuse("timeline", "is missing");
  } else if (auto timeline = timeline_from_json(*timeline_json); !timeline) {
    reader.refuse("timeline", "is bad: " + timeline.error().message);
  } else {
    pending.timeline = std::move(*timeline);
  }
  if (reader.error()) return bad_field(*reader.error());
  return pending;
}

bool lost_its_sessions(const PendingUpdate& pending, bool same_kernel,
                       const std::vector<HistoryEntry>& history) {
  if (same_kernel) return false;
  const auto entry = failed_entry(pending, "");
  return std::none_of(history.begin(), history.end(),
                      [&](const HistoryEntry& known) { return same_update(known, entry); });
}

HistoryEntry failed_entry(const PendingUpdate& pending, const std::string& why) {
  HistoryEntry entry;
  entry.id = pending.id;
  entry.outcome = "failed";
  entry.reason =
      !why.empty()
          ? why
          : "The kexec into " + pending.to_release +
                " did not bring the state along: a panic or a cold boot came in its place.";
  entry.mode = pending.mode;
  entry.from_release = pending.from_release;
  entry.to_release = pending.to_release;
  entry.timeline = pending.timeline;
  for (const auto& session : pending.sessions) {
    const auto owner = session.client.empty() ? "" : " of client '" + session.client + "'";
    entry.losses.push_back("Session '" + session.name + "'" + owner + " is lost: " + entry.reason);
  }
  return entry;
}

}  // namespace handover::engine

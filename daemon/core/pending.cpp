// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/pending.h"

#include <algorithm>
#include <utility>

#include "core/error_name.h"
#include "core/update_fields.h"

namespace handover {

namespace {

tl::unexpected<Error> invalid_pending(const std::string& why) {
  return fail(ErrorCode::manifest_invalid, "the record of the pending update " + why);
}

}  // namespace

template <typename Io, Of<PendingUpdate::Session> Record>
void fields(Io& io, Record& session) {
  io.name("name", session.name);
  io.name_or_empty("client", session.client);
}

/// Without the version, which is read first.
template <typename Io, Of<PendingUpdate> Record>
void fields(Io& io, Record& pending) {
  io.required("id", pending.id);
  io.word("mode", pending.mode, Mode::external, pending.extra);
  io.required("from_release", pending.from_release);
  io.required("to_release", pending.to_release);
  io.optional("image", pending.image);
  io.required("boot_id", pending.boot_id);
  io.required("timeline", pending.timeline);
  io.list("sessions", pending.sessions,
          [](const PendingUpdate::Session& session) { return session.name; });
  io.rest(pending.extra);
}

std::string serialize(const PendingUpdate& pending) {
  std::string text;
  FieldWriter writer(text);
  writer.required("version", PendingUpdate::version);
  fields(writer, pending);
  writer.end();
  return text + "\n";
}

Result<PendingUpdate> parse_pending(std::string_view text) {
  auto json = parse_json(text, ErrorCode::manifest_invalid);
  if (!json) return invalid_pending("is no JSON: " + json.error().message);
  FieldReader reader(std::move(*json), "");
  std::uint64_t version = 0;
  reader.required("version", version);
  if (!reader.error() && version != PendingUpdate::version) {
    return invalid_pending("is of version " + std::to_string(version) +
                           "; this daemon reads version " + std::to_string(PendingUpdate::version));
  }
  PendingUpdate pending;
  fields(reader, pending);
  if (reader.error()) return invalid_pending("has a bad field: " + describe(*reader.error()));
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
  entry.outcome = Outcome::failed;
  entry.reason =
      !why.empty()
          ? why
          : "The kexec into " + pending.to_release +
                " did not bring the state along: a panic or a cold boot came in its place.";
  entry.error = dbus_name(ErrorCode::state_lost);
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

}  // namespace handover

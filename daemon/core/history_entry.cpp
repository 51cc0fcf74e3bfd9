// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/history_entry.h"

#include <optional>
#include <utility>

#include "core/update_fields.h"

namespace handover {

template <typename Io, Of<Phase> Record>
void fields(Io& io, Record& phase) {
  io.required("name", phase.name);
  io.required("usec", phase.usec);
  io.required("in_blackout", phase.in_blackout);
}

template <typename Io, Of<HistoryEntry> Record>
void fields(Io& io, Record& entry) {
  io.required("id", entry.id);
  io.required("generation", entry.generation);
  io.word("outcome", entry.outcome, Outcome::failed, entry.extra);
  io.required("reason", entry.reason);
  io.optional("error", entry.error);
  io.optional("client", entry.client);
  io.optional("call", entry.call);
  io.optional("hook", entry.hook);
  io.word("mode", entry.mode, Mode::external, entry.extra);
  io.required("from_release", entry.from_release);
  io.required("to_release", entry.to_release);
  io.required("finished_at", entry.finished_at);
  io.required("losses", entry.losses);
  io.optional("left_out", entry.left_out);
  io.optional("overruled", entry.overruled);
  io.optional("rehearsal", entry.rehearsal);
  io.optional("health", entry.health);
  io.optional("health_reason", entry.health_reason);
  io.optional("written_late", entry.written_late);
  io.required("timeline", entry.timeline);
  io.computed("phases", [&] { return std::optional(phases(entry.timeline)); });
  io.computed("blackout_usec", [&] { return blackout_usec(entry.timeline); });
  const auto most = longest(entry.timeline);
  const auto least = shortest(entry.timeline);
  io.computed("blackout_client", [&] { return most ? most->client : ""; });
  io.computed("shortest_standstill_usec",
              [&] { return least ? std::optional(least->usec) : std::nullopt; });
  io.computed("shortest_standstill_client", [&] { return least ? least->client : ""; });
  io.rest(entry.extra);
}

bool same_update(const HistoryEntry& a, const HistoryEntry& b) {
  const auto began = [](const HistoryEntry& of) {
    const auto mark = of.timeline.marks.find(Mark::requested);
    return mark == of.timeline.marks.end() ? Ticks{0} : mark->second;
  };
  return a.id == b.id && began(a) == began(b);
}

std::string serialize(const HistoryEntry& entry) {
  std::string text;
  append_json(text, entry, Computed::yes);
  return text;
}

std::string serialize(std::span<const HistoryEntry> entries) {
  std::string text = "[";
  for (const HistoryEntry& entry : entries) {
    text += text.size() == 1 ? "\n" : ",\n";
    append_json(text, entry, Computed::yes);
  }
  return text + "\n]\n";
}

Result<std::vector<HistoryEntry>> parse_history(std::string_view text) {
  auto json = parse_json(text, ErrorCode::manifest_invalid);
  if (!json) return fail(json.error());
  if (!json->is_array()) return fail(ErrorCode::manifest_invalid, "it is not a JSON array");
  std::vector<HistoryEntry> entries;
  entries.reserve(json->size());
  for (nlohmann::json& element : *json) {
    FieldReader reader(std::move(element), child_pointer("", entries.size()));
    HistoryEntry entry;
    fields(reader, entry);
    if (reader.error()) return fail(ErrorCode::manifest_invalid, describe(*reader.error()));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace handover

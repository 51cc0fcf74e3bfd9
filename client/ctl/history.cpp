// SPDX-License-Identifier: LGPL-2.1-or-later
#include "history.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "format.h"
#include "table.h"

namespace handover::ctl {
namespace {

using nlohmann::json;

const json& member(const json& object, const char* key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

std::string duration(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_number_unsigned() ? format_duration(value.get<std::uint64_t>()) : "-";
}

std::string in_brackets(const std::string& name) { return name.empty() ? "" : " (" + name + ")"; }

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

/// "2026-05-01T10:00:00Z" reads better as "2026-05-01 10:00:00Z".
std::string readable_time(std::string text) {
  if (text.size() > 10 && text[10] == 'T') text[10] = ' ';
  return text;
}

/// Indented by two, and what does not fit on a line by four on the next ones.
std::string paragraph(const std::string& text, std::size_t width) {
  constexpr std::size_t deepest = 4;
  std::string out;
  for (const auto& line : wrap_text(text, width - deepest)) {
    out += (out.empty() ? "  " : "    ") + one_line(line) + "\n";
  }
  return out;
}

/// What a rehearsal says of the update that it stands for; "" for an update.
std::string rehearsal_text(const json& entry, std::size_t width) {
  const json& rehearsal = member(entry, "rehearsal");
  if (!rehearsal.is_object()) return "";
  std::string text = "rehearsal";
  if (const auto most = json_number(rehearsal, "at_most_usec"); most != 0) {
    text += " of at most " + format_duration(most);
  }
  if (json_text(entry, "outcome") != "rehearsed") return paragraph(text, width);
  if (const auto usec = json_number(rehearsal, "estimate_usec"); usec != 0) {
    text += "; an update's blackout would be about " + format_duration(usec) +
            ", with the boot of update " + std::to_string(json_number(rehearsal, "estimate_from"));
  } else {
    text += "; no update of this mode is on record whose boot would tell the whole blackout";
  }
  std::string out = paragraph(text, width);
  const json& parts = member(rehearsal, "not_rehearsed");
  std::string missing;
  for (const auto& part : parts.is_array() ? parts : json::array()) {
    if (!part.is_string()) continue;
    missing += (missing.empty() ? "not rehearsed: " : "; ") + part.get<std::string>();
  }
  return missing.empty() ? out : out + paragraph(missing, width);
}

}  // namespace

std::string json_text(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

std::uint64_t json_number(const json& object, const char* key) {
  const json& value = member(object, key);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

std::string blackout_text(const json& entry) {
  const json& blackout = member(entry, "blackout_usec");
  if (!blackout.is_number_unsigned()) return "no blackout";
  std::string text = "blackout " + format_duration(blackout.get<std::uint64_t>()) +
                     in_brackets(json_text(entry, "blackout_client"));
  const json& shortest = member(entry, "shortest_standstill_usec");
  // Of one client alone the longest is the shortest.
  if (shortest.is_number_unsigned() &&
      json_text(entry, "shortest_standstill_client") != json_text(entry, "blackout_client")) {
    text += ", shortest " + format_duration(shortest.get<std::uint64_t>()) +
            in_brackets(json_text(entry, "shortest_standstill_client"));
  }
  return text;
}

std::string left_out_text(const json& entry) {
  std::vector<std::string> names;
  const json& left_out = member(entry, "left_out");
  if (left_out.is_array()) {
    for (const auto& one : left_out) names.push_back(json_text(one, "client"));
  }
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += i == 0 ? ", without " : i + 1 == names.size() ? " and " : ", ";
    text += names[i];
  }
  return text;
}

std::string history_list(const json& entries, std::size_t width, bool titles) {
  // An earlier version knew neither.
  bool whose = false;
  for (const auto& entry : entries) whose = whose || !json_text(entry, "blackout_client").empty();
  std::vector<Column> columns = {{"ID", true, false},
                                 {"FINISHED", false, false},
                                 {"FROM → TO", false, true},
                                 {"OUTCOME", false, true},
                                 {"BLACKOUT", true, false}};
  if (whose) {
    columns.push_back({"OF", false, true});
    columns.push_back({"SHORTEST", true, false});
  }
  Table table(std::move(columns));
  for (const auto& entry : entries) {
    std::vector<std::string> cells = {
        std::to_string(json_number(entry, "id")), readable_time(json_text(entry, "finished_at")),
        or_dash(json_text(entry, "from_release")) + " → " + or_dash(json_text(entry, "to_release")),
        json_text(entry, "outcome"), duration(entry, "blackout_usec")};
    if (whose) {
      cells.push_back(or_dash(json_text(entry, "blackout_client")));
      cells.push_back(duration(entry, "shortest_standstill_usec"));
    }
    table.add(std::move(cells));
  }
  return table.text(width, titles);
}

std::string history_entry(const json& entry, std::size_t width) {
  std::string out;
  const auto title = "Update " + std::to_string(json_number(entry, "id")) + ": " +
                     json_text(entry, "outcome") + ", " + blackout_text(entry);
  for (const auto& line : wrap_text(title, width - 2)) {
    out += (out.empty() ? "" : "  ") + one_line(line) + "\n";
  }
  out += "  " + or_dash(json_text(entry, "from_release")) + " → " +
         or_dash(json_text(entry, "to_release")) + ", " + json_text(entry, "mode") +
         ", generation " + std::to_string(json_number(entry, "generation")) + "\n";
  out += "  finished " + readable_time(json_text(entry, "finished_at")) +
         (member(entry, "written_late") == true ? ", recorded on disk later\n" : "\n");
  if (const auto reason = json_text(entry, "reason"); !reason.empty()) {
    out += paragraph("reason: " + reason, width);
  }
  if (const auto health = json_text(entry, "health"); !health.empty()) {
    const auto why = json_text(entry, "health_reason");
    out += paragraph("health: " + health + (why.empty() ? "" : "; " + why), width);
  }
  if (const auto overruled = json_text(entry, "overruled"); !overruled.empty()) {
    out += paragraph("overruled: " + overruled, width);
  }

  out += rehearsal_text(entry, width);

  const json& phases = member(entry, "phases");
  if (phases.is_array() && !phases.empty()) {
    std::uint64_t longest = 0;
    std::size_t name_width = 0;
    std::size_t time_width = 0;
    for (const auto& phase : phases) {
      longest = std::max(longest, json_number(phase, "usec"));
      name_width = std::max(name_width, text_width(json_text(phase, "name")));
      time_width = std::max(time_width, text_width(duration(phase, "usec")));
    }
    const std::size_t used = 2 + name_width + 2 + time_width + 2;
    const std::size_t bar_width = width > used + 10 ? width - used : 10;
    out += "\n";
    for (const auto& phase : phases) {
      const std::string name = json_text(phase, "name");
      const std::string time = duration(phase, "usec");
      const std::string bar = format_bar(json_number(phase, "usec"), longest, bar_width);
      out += "  ";
      out += name;
      out.append(name_width - text_width(name) + 2 + time_width - text_width(time), ' ');
      out += time;
      if (!bar.empty()) out += "  ";
      out += bar;
      out += "\n";
    }
  }

  const json& clients = member(member(entry, "timeline"), "clients");
  if (clients.is_object() && !clients.empty()) {
    Table table({{"CLIENT", false, true},
                 {"PREPARE", true, false},
                 {"FREEZE", true, false},
                 {"RESTORE", true, false},
                 {"BLACKOUT", true, false}});
    for (const auto& [name, times] : clients.items()) {
      table.add({name, duration(times, "prepare_usec"), duration(times, "freeze_usec"),
                 duration(times, "restore_usec"), duration(times, "blackout_usec")});
    }
    out += "\n" + table.text(width);
  }

  const json& left_out = member(entry, "left_out");
  if (left_out.is_array() && !left_out.empty()) {
    out += "\nLeft out:\n";
    for (const auto& one : left_out) {
      const auto reason = json_text(one, "reason");
      out += paragraph(or_dash(json_text(one, "client")) + (reason.empty() ? "" : ": " + reason),
                       width);
    }
  }

  const json& losses = member(entry, "losses");
  if (losses.is_array() && !losses.empty()) {
    out += "\nLost:\n";
    for (const auto& loss : losses) {
      if (loss.is_string()) out += paragraph(loss.get<std::string>(), width);
    }
  }
  return out;
}

}  // namespace handover::ctl

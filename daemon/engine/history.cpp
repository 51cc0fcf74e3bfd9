// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/history.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "system/files.h"

namespace handover::engine {

namespace {

nlohmann::json with_figures(const HistoryEntry& entry) {
  auto json = to_json(entry);
  for (const auto& [name, times] : entry.timeline.clients) {
    if (const auto blackout = blackout_usec(times, entry.timeline.ticks_per_second)) {
      json["timeline"]["clients"][name]["blackout_usec"] = *blackout;
    }
  }
  return json;
}

}  // namespace

History::History(std::string path, std::uint64_t most) : path_(std::move(path)), most_(most) {}

Result<void> History::load() {
  const auto text = system::read_file(path_);
  if (!text) {
    if (text.error().sys_errno == ENOENT) return {};
    return fail(text.error());
  }
  const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  std::vector<HistoryEntry> entries;
  std::string wrong = json.is_array() ? "" : "it is not a JSON array";
  if (wrong.empty()) {
    for (const auto& item : json) {
      auto entry = history_from_json(item);
      if (!entry) {
        wrong = entry.error().message;
        break;
      }
      entries.push_back(std::move(*entry));
    }
  }
  if (!wrong.empty()) {
    const auto aside = path_ + ".bad";
    if (std::rename(path_.c_str(), aside.c_str()) != 0) return fail_errno("rename " + path_);
    return fail(ErrorCode::manifest_invalid, "The history " + path_ + " cannot be read (" + wrong +
                                                 "); it is now " + aside +
                                                 " and a new one begins.");
  }
  entries_ = std::move(entries);
  return {};
}

void History::add(HistoryEntry entry) {
  // A daemon that died between writing this and going back to normal ends the same update again.
  const auto began = [](const HistoryEntry& of) {
    const auto mark = of.timeline.marks.find(Mark::requested);
    return mark == of.timeline.marks.end() ? Ticks{0} : mark->second;
  };
  if (!entries_.empty() && entries_.front().id == entry.id &&
      began(entries_.front()) == began(entry)) {
    entries_.front() = std::move(entry);
    return;
  }
  entries_.insert(entries_.begin(), std::move(entry));
  if (entries_.size() > most_) entries_.resize(most_);
}

void History::add_loss(std::string reason) {
  if (entries_.empty()) return;
  auto& entry = entries_.front();
  if (entry.outcome == "done") {
    entry.outcome = "done-with-losses";
    entry.reason = reason;
  }
  entry.losses.push_back(std::move(reason));
}

Result<void> History::write() const {
  auto json = nlohmann::json::array();
  for (const auto& entry : entries_) json.push_back(to_json(entry));
  return system::replace_file(path_, json.dump(1) + "\n", /*durable=*/true);
}

std::string History::to_json_text(std::size_t most) const {
  auto json = nlohmann::json::array();
  for (std::size_t i = 0; i < std::min(most, entries_.size()); ++i) {
    json.push_back(with_figures(entries_[i]));
  }
  return json.dump();
}

}  // namespace handover::engine
